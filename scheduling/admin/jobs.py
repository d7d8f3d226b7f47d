"""The admin of the ledger, which is read-only."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from scheduling import operations
from scheduling.admin.buttons import JOB_ACTIONS, Action
from scheduling.admin.columns import badge, change_url, time_column
from scheduling.admin.doing import carry_out, on_each
from scheduling.admin.items import history
from scheduling.models import Job
from scheduling.permissions import NotAllowed, has_right_to, has_right_to_some_jobs


@admin.register(Job)
class JobAdmin(ModelAdmin):
    """Jobs as they are. Nothing is edited; an open one can be cancelled, a failed one rerun."""

    change_form_template = "scheduling/job_change_form.html"
    list_display = (
        "__str__",
        "state_badge",
        "item_link",
        time_column(Job, "run_at"),
        time_column(Job, "finished_at"),
        "shown_lateness",
        "attempts",
    )
    list_filter = ("state", "kind")
    list_per_page = 50
    show_full_result_count = False
    ordering = ("-pk",)
    search_fields = ("item_title", "=object_id")
    actions = ("rerun_selected",)
    fields = readonly_fields = (  # type: ignore[assignment]  # the stubs know names only
        "kind",
        "state_badge",
        "item_link",
        time_column(Job, "run_at"),
        time_column(Job, "next_attempt_at"),
        time_column(Job, "finished_at"),
        "shown_lateness",
        "attempts",
        "reason",
        "scheduled_by",
        time_column(Job, "created_at"),
    )

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, job: Job) -> str:
        """Show the state."""
        return badge(job.state, job.get_state_display())

    @admin.display(description=_("item"))
    def item_link(self, job: Job) -> str:
        """Show the item's title, as a link when its type has an admin."""
        title = job.item_title or job.item_label
        model = _model_of(job)
        if model is None or not self.admin_site.is_registered(model):
            return title
        return format_html('<a href="{}">{}</a>', change_url(model, job.object_id), title)

    @admin.display(description=_("late by (ms)"))
    def shown_lateness(self, job: Job) -> str:
        """Show how late it was done."""
        return "-" if job.lateness_ms is None else f"{job.lateness_ms:.0f}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: jobs come from operations."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Refuse: the ledger says what was."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """Refuse: `prune_jobs` is for that."""
        return False

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may rerun jobs of any type."""
        return has_right_to_some_jobs(request.user, "rerun")

    @admin.action(permissions=["rerun"], description=_("Run again"))
    def rerun_selected(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """Rerun each selected job."""

        def rerun(job: Job) -> None:
            if not has_right_to(request.user, "rerun", job):
                raise NotAllowed
            assert request.user.is_authenticated  # the admin lets nobody else in
            operations.rerun(job=job, by=request.user)

        def title(job: Job) -> str:
            return job.item_title or str(job)

        def count(done: int) -> str:
            text = ngettext("%(count)d job runs again.", "%(count)d jobs run again.", done)
            return text % {"count": done}

        on_each(request, jobs, rerun, _("Run again"), title=title, count=count)

    def get_urls(self) -> list[URLPattern]:
        """Give each button its address, before the admin's own, which would match them too."""
        view = self.admin_site.admin_view(require_POST(self._act))
        urls = [
            path(
                f"<int:pk>/{action.name}/",
                view,
                {"action": action},
                name=f"scheduling_job_{action.name}",
            )
            for action in JOB_ACTIONS
        ]
        return urls + super().get_urls()

    def _act(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        job = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        if not has_right_to(request.user, action.right, job):
            raise PermissionDenied
        form = action.form(request.POST)
        carry_out(request, form, partial(action.operation, job=job), action.done)
        return redirect(change_url(Job, pk))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the job's history, and its buttons."""
        context["events"] = history(obj.events.all())
        context["buttons"] = [
            {
                "action": action,
                "form": action.form(auto_id=f"{action.name}_%s"),
                "url": reverse(f"admin:scheduling_job_{action.name}", args=[obj.pk]),
            }
            for action in JOB_ACTIONS
            if has_right_to(request.user, action.right, obj) and action.is_offered(obj)
        ]
        return super().render_change_form(request, context, add, change, form_url, obj)


def _model_of(job: Job) -> type[Model] | None:
    return ContentType.objects.get_for_id(job.content_type_id).model_class()
