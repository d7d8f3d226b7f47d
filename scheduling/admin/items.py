"""The admin of every type of content."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from scheduling import operations
from scheduling.admin.buttons import ACTIONS, Action
from scheduling.admin.columns import Text, badge, change_url, time_column, verbose_name
from scheduling.admin.doing import carry_out, on_each
from scheduling.models import Job, JobEvent, Schedulable
from scheduling.permissions import has_right

EVENTS_SHOWN = 20


class SchedulableAdmin(ModelAdmin):
    """
    Base of the admin of every type of content.

    The form saves content only. Status and times change by the buttons beside it; each posts to an
    address of its own and calls one operation.
    """

    change_form_template = "scheduling/item_change_form.html"
    list_display: Any = (
        "__str__",
        "status_badge",
        time_column(Schedulable, "publish_at"),
        time_column(Schedulable, "unpublish_at"),
        time_column(Schedulable, "published_at"),
    )
    list_filter: ClassVar[Any] = ("status",)
    list_per_page = 50
    # Counting all rows only to say "of 100,000" would cost a second scan.
    show_full_result_count = False
    actions: Any = ("publish_selected", "cancel_selected", "unpublish_selected")

    @admin.display(description=_("status"), ordering="status")
    def status_badge(self, item: Schedulable) -> str:
        """Show the status."""
        return badge(item.status, item.get_status_display())

    def has_schedule_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may say when."""
        return has_right(request.user, "schedule", self.model)

    def has_publish_permission(self, request: HttpRequest) -> bool:
        """Return whether the person may publish and take down at once."""
        return has_right(request.user, "publish", self.model)

    # The buttons

    def get_urls(self) -> list[URLPattern]:
        """Give each button its address, before the admin's own, which would match them too."""
        urls = [
            path(
                f"<int:pk>/{action.name}/",
                self.admin_site.admin_view(require_POST(self._act)),
                {"action": action},
                name=self._url_name(action).removeprefix("admin:"),
            )
            for action in ACTIONS
        ]
        return urls + super().get_urls()

    def _act(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        if not has_right(request.user, action.right, self.model):
            raise PermissionDenied
        item = self.get_object(request, str(pk))
        if item is None:
            raise Http404
        form = action.form(request.POST, initial=action.form.times_of(item))
        carry_out(request, form, partial(action.operation, item=item), action.done)
        return redirect(change_url(self.model, pk))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Add the panel to the page of an item that exists."""
        if obj is not None:
            context["publishing"] = self._panel(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _panel(self, request: HttpRequest, item: Schedulable) -> dict[str, Any]:
        jobs = Job.objects.of(item)
        return {
            "badge": self.status_badge(item),
            "times": [
                (verbose_name(self.model, name), getattr(item, name))
                for name in ("publish_at", "unpublish_at", "published_at")
            ],
            "problems": item.publish_problems(),
            "buttons": [
                {
                    "action": action,
                    "form": action.form(
                        initial=action.form.times_of(item), auto_id=f"{action.name}_%s"
                    ),
                    "url": reverse(self._url_name(action), args=[item.pk]),
                }
                for action in ACTIONS
                if has_right(request.user, action.right, self.model) and action.is_offered(item)
            ],
            "open_jobs": jobs.open().select_related("scheduled_by").order_by("run_at", "pk"),
            "events": history(JobEvent.objects.filter(job__in=jobs))[:EVENTS_SHOWN],
            "may_see_jobs": has_right(request.user, "view", Job),
        }

    def _url_name(self, action: Action) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{action.name}"

    # The list's actions

    @admin.action(permissions=["publish"], description=_("Publish now"))
    def publish_selected(self, request: HttpRequest, items: QuerySet[Schedulable]) -> None:
        """Publish each selected item."""
        self._act_on_each(request, items, operations.publish_now, _("Publish now"))

    @admin.action(permissions=["schedule"], description=_("Cancel the schedule"))
    def cancel_selected(self, request: HttpRequest, items: QuerySet[Schedulable]) -> None:
        """Cancel the schedule of each selected item."""
        self._act_on_each(request, items, operations.unschedule, _("Cancel the schedule"))

    @admin.action(permissions=["publish"], description=_("Take down now"))
    def unpublish_selected(self, request: HttpRequest, items: QuerySet[Schedulable]) -> None:
        """Take each selected item down."""
        self._act_on_each(request, items, operations.unpublish_now, _("Take down now"))

    def _act_on_each(
        self,
        request: HttpRequest,
        items: QuerySet[Schedulable],
        operation: Callable[..., Job],
        label: Text,
    ) -> None:
        def act(item: Schedulable) -> None:
            operation(item=item, by=request.user)

        def count(done: int) -> str:
            text = ngettext("%(count)d item done.", "%(count)d items done.", done)
            return text % {"count": done}

        on_each(request, items, act, label, title=str, count=count)


def history(events: QuerySet[JobEvent]) -> QuerySet[JobEvent]:
    """Return events with what their table shows, the newest first."""
    return events.select_related("job", "by").order_by("-at", "-pk")
