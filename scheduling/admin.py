"""The admin of every type of content, and of the ledger, which is read-only."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import django_q.admin  # noqa: F401 (has its pages registered, to be taken away at the end)
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Field, Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from armo.errors import DomainError
from scheduling import operations
from scheduling.forms import EndForm, ReasonForm, StartForm
from scheduling.models import (
    ALLOWED,
    Job,
    JobEvent,
    Kind,
    Schedulable,
    State,
    Status,
)
from scheduling.permissions import NotAllowed, has_right, has_right_to, has_right_to_some_jobs

Text = str | Promise

STYLE = Media(css={"all": ["scheduling/admin.css"]})
EVENTS_SHOWN = 20
TITLES_SHOWN = 5


# Columns


def verbose_name(model: type[Model], name: str) -> Text:
    """Return what a field is called on screen."""
    field = model._meta.get_field(name)
    assert isinstance(field, Field)  # not the far end of a relation
    return field.verbose_name


def time_column(model: type[Model], name: str) -> Callable[[Any], str]:
    """Return a column that shows a time to the second, in the current time zone."""

    @admin.display(
        description=verbose_name(model, name),  # type: ignore[arg-type]  # it wants the stubs' own lazy text
        ordering=name,
    )
    def column(row: Model) -> str:
        at = getattr(row, name)
        if at is None:
            return "-"
        day, time = date_format(timezone.localtime(at), "Y-m-d H:i:s").split()
        # A narrow column breaks between the two, not inside them.
        return format_html('<span class="armo-time">{}</span> <span>{}</span>', day, time)

    column.__name__ = name  # the admin makes a CSS class of it
    return column


def badge(value: str, label: Text) -> str:
    """Return a status or a state as a coloured word."""
    return format_html('<span class="armo-badge armo-{}">{}</span>', value, label)


# Buttons


@dataclass(frozen=True)
class Action:
    """A button on a page: what a person fills in, and the one operation it calls."""

    name: str
    label: Text
    done: Text
    right: str
    operation: Callable[..., Job]
    form: type[ReasonForm]
    # Looks at the row only: an item, or a job. A button that is not offered may still be posted, by
    # a page that is old: the operation then refuses.
    is_offered: Callable[[Any], bool]


def _may_become(status: Status) -> Callable[[Schedulable], bool]:
    return lambda item: status in ALLOWED[Status(item.status)] and not item.publish_problems()


def _is(*statuses: Status) -> Callable[[Schedulable], bool]:
    return lambda item: item.status in statuses


ACTIONS = (
    Action(
        name="schedule",
        label=_("Schedule"),
        done=_("It is scheduled."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        is_offered=_may_become(Status.SCHEDULED),
    ),
    Action(
        name="move",
        label=_("Move"),
        done=_("It has another time."),
        right="schedule",
        operation=operations.schedule,
        form=StartForm,
        is_offered=_is(Status.SCHEDULED),
    ),
    Action(
        name="publish",
        label=_("Publish now"),
        done=_("It is live."),
        right="publish",
        operation=operations.publish_now,
        form=ReasonForm,
        is_offered=_may_become(Status.PUBLISHED),
    ),
    Action(
        name="end",
        label=_("Set the end"),
        done=_("It has an end."),
        right="schedule",
        operation=partial(operations.schedule, kind=Kind.UNPUBLISH),
        form=EndForm,
        is_offered=_is(Status.PUBLISHED),
    ),
    Action(
        name="cancel-end",
        label=_("Cancel the end"),
        done=_("It has no end any more."),
        right="schedule",
        operation=partial(operations.unschedule, kind=Kind.UNPUBLISH),
        form=ReasonForm,
        is_offered=lambda item: item.is_published and item.unpublish_at is not None,
    ),
    Action(
        name="cancel",
        label=_("Cancel the schedule"),
        done=_("It is not scheduled any more."),
        right="schedule",
        operation=operations.unschedule,
        form=ReasonForm,
        is_offered=_is(Status.SCHEDULED, Status.FAILED),
    ),
    Action(
        name="unpublish",
        label=_("Take down now"),
        done=_("It is not live any more."),
        right="publish",
        operation=operations.unpublish_now,
        form=ReasonForm,
        is_offered=_is(Status.PUBLISHED),
    ),
)


JOB_ACTIONS = (
    Action(
        name="cancel",
        label=_("Cancel the job"),
        done=_("The job is cancelled."),
        right="schedule",
        operation=operations.cancel,
        form=ReasonForm,
        is_offered=lambda job: job.is_open,
    ),
    Action(
        name="rerun",
        label=_("Run again"),
        done=_("The job runs again."),
        right="rerun",
        operation=operations.rerun,
        form=ReasonForm,
        is_offered=lambda job: job.state == State.FAILED,
    ),
)


def carry_out(
    request: HttpRequest, form: ReasonForm, operation: Callable[..., Job], done: Text
) -> None:
    """Call an operation with what was filled in, and tell the person how it went."""
    if not form.is_valid():
        for name, errors in form.errors.items():
            for error in errors:
                messages.error(request, f"{form.fields[name].label}: {error}")
        return
    try:
        operation(by=request.user, **form.wish())
    except DomainError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, str(done))


def on_each(
    request: HttpRequest,
    rows: QuerySet[Any],
    operation: Callable[[Any], object],
    label: Text,
    *,
    title: Callable[[Any], str],
    count: Callable[[int], str],
) -> None:
    """
    Call the operation for each row; tell what was refused, and why, once a reason.

    :param title: names a row in what is told.
    :param count: says for how many it was done.
    """
    done = 0
    refused: dict[str, list[str]] = defaultdict(list)
    for row in rows.iterator():
        try:
            operation(row)
        except DomainError as refusal:
            refused[str(refusal)].append(title(row))
        else:
            done += 1
    if done:
        messages.success(request, f"{label}: {count(done)}")
    for reason, titles in refused.items():
        shown = ", ".join(f"“{title}”" for title in titles[:TITLES_SHOWN])
        more = len(titles) - TITLES_SHOWN
        if more > 0:
            shown += ngettext(" and %(count)d more", " and %(count)d more", more) % {"count": more}
        messages.error(request, f"{label}: {shown}: {reason}")


def change_url(model: type[Model], pk: object) -> str:
    """Return the address of a row's page in the admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


class SchedulableAdmin(admin.ModelAdmin):
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

    @property
    def media(self) -> Media:
        """Add the style sheet of badges and of the panel."""
        return super().media + STYLE

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


# The ledger


def history(events: QuerySet[JobEvent]) -> QuerySet[JobEvent]:
    """Return events with what their table shows, the newest first."""
    return events.select_related("job", "by").order_by("-at", "-pk")


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):
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

    @property
    def media(self) -> Media:
        """Add the style sheet of badges and of the history."""
        return super().media + STYLE

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


# django-q2's own pages edit live queue rows, and unpickle every row they list.
for model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(model):
        admin.site.unregister(model)
