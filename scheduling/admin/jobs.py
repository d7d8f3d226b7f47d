"""The admin of jobs, which is read-only."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from scheduling.access.permissions import (
    has_right,
    has_right_to,
    has_right_to_some_jobs,
    visible_jobs,
)
from scheduling.admin import bulk
from scheduling.admin.actions import JOB_ACTIONS, Action, carry_out, posted
from scheduling.admin.display import Text, badge, change_url, shown_time, time_column
from scheduling.admin.filters import KindFilter, LocalDates, OverdueFilter, StateFilter
from scheduling.admin.forms import ButtonForm, PauseForm, ReasonForm
from scheduling.admin.items import MOST_WATCHED, ask_again
from scheduling.admin.live import live_rows, seconds_until_news
from scheduling.admin.panel import buttons, history
from scheduling.admin.plain import ReadOnlyAdmin
from scheduling.admin.seen import OF_PAUSE, described, signed
from scheduling.errors import DomainError, spoken
from scheduling.models import ClockNow, Job, JobEvent, Pause, PauseEvent, clock
from scheduling.models.references import parse_ids
from scheduling.models.times import LocalTime, distance, duration
from scheduling.operations import ChangedMeanwhile
from scheduling.operations import pause as pausing
from scheduling.operations.zone_changes import has_shifted
from scheduling.queries.holds import queue_row_of

PAUSES_SHOWN = 10
# Characters of an error that a list shows.
LONGEST_ERROR = 200


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin, LocalDates):
    """Jobs, which are not edited: an open one can be cancelled, a failed one rerun."""

    change_form_template = "scheduling/job_change_form.html"
    list_display = (
        "what",
        "state_badge",
        "item_link",
        time_column(Job, "run_at"),
        "lateness",
        "attempts",
        "last_error",
    )
    # The columns that an open page keeps up to date.
    live_columns = ("state_badge", "run_at", "lateness", "attempts", "last_error")
    list_filter = (StateFilter, KindFilter, OverdueFilter)
    list_filter_submit = True
    list_before_template = "scheduling/job_list_head.html"
    list_per_page = 50
    date_hierarchy = "run_at"
    show_full_result_count = False
    ordering = ("-pk",)
    search_fields = ("item_title", "=object_id")
    actions = ("rerun_selected", "cancel_selected")
    fields = readonly_fields = (  # type: ignore[assignment]  # the stubs know names only
        "kind",
        "state_badge",
        "item_link",
        time_column(Job, "run_at"),
        "chosen_as",
        time_column(Job, "next_attempt_at"),
        time_column(Job, "finished_at"),
        "lateness",
        "attempts",
        "last_error",
        "message",
        "why",
        "by",
        "request_id",
        time_column(Job, "created_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        jobs: QuerySet[Any] = super().get_queryset(request)
        failures = JobEvent.objects.filter(
            job=OuterRef("pk"), what__in=(JobEvent.What.ATTEMPT_FAILED, JobEvent.What.FAILED)
        )
        newest = failures.order_by("-at", "-pk")
        seen: QuerySet[Any] = visible_jobs(request.user, jobs)
        seen = seen.annotate(
            clock_at=ClockNow(),
            error=Subquery(newest.values("reason")[:1]),
            reasons=Subquery(newest.values("detail__reasons")[:1]),
        )
        return seen

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Find jobs by their item's title or number, or by its name, such as `story:42`."""
        found, has_doubles = super().get_search_results(request, queryset, search_term)
        try:
            return found | queryset.of_named(search_term.strip()), has_doubles
        except DomainError:
            return found, has_doubles

    @admin.display(description=_("job"))
    def what(self, job: Job) -> str:
        return f"{job.get_kind_display()} {job.item_label}"

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, job: Job) -> str:
        return badge(job.state, job.get_state_display())

    @admin.display(description=_("item"))
    def item_link(self, job: Job) -> str:
        title = job.item_title or job.item_label
        model = ContentType.objects.get_for_id(job.content_type_id).model_class()
        if model is None or not self.admin_site.is_registered(model):
            return title
        return format_html('<a href="{}">{}</a>', change_url(model, job.object_id), title)

    @admin.display(description=_("late by"))
    def lateness(self, job: Job) -> str:
        """Show how late the job was done; if open, how late it is, or in how long it is due."""
        now = job.clock_at  # type: ignore[attr-defined]  # by get_queryset
        if job.lateness_ms is not None:
            return gettext("%(number)s ms") % {"number": f"{job.lateness_ms:,.0f}"}
        if not job.is_open:
            return "-"
        if job.run_at > now:
            return format_html('<span class="armo-quiet">{}</span>', distance(job.run_at, now))
        return format_html('<span class="armo-late">{}</span>', duration(now - job.run_at))

    @admin.display(description=_("chosen as"))
    def chosen_as(self, job: Job) -> str:
        """Show the local time that was chosen, and whether its zone has other rules by now."""
        if not job.local_time:
            return "-"
        chosen = LocalTime.read(job.local_time)
        shown = f"{chosen.local:%Y-%m-%d %H:%M:%S} {chosen.zone}"
        if not (job.is_open and has_shifted(job)):
            return shown
        text = gettext("The clocks there have other rules by now.")
        return format_html('{} <span class="armo-late">{}</span>', shown, text)

    @admin.display(description=_("last error"))
    def last_error(self, job: Job) -> str:
        text: str = job.error or ""  # type: ignore[attr-defined]  # by get_queryset
        why = spoken(text, job.reasons)  # type: ignore[attr-defined]
        return Truncator(why).chars(LONGEST_ERROR) or "-"

    @admin.display(description=_("queue row"))
    def message(self, job: Job) -> str:
        if not job.is_open:
            return "-"
        row = queue_row_of(job)
        if row is None:
            return gettext("None: the next sweep enqueues one.")
        facts = {"number": row.id, "lane": row.lane, "time": shown_time(row.lock)}
        if row.is_claimed(now=job.clock_at):  # type: ignore[attr-defined]
            return format_html(
                gettext("{number}, lane {lane}: claimed by a worker until {time}."), **facts
            )
        if row.waiting_since:
            return format_html(
                gettext(
                    "{number}, lane {lane}: the job or its item has been locked since {since};"
                    " a worker tries again at {time}."
                ),
                since=shown_time(row.waiting_since),
                **facts,
            )
        return format_html(gettext("{number}, lane {lane}: wakes a worker at {time}."), **facts)

    @admin.display(description=_("reason"))
    def why(self, job: Job) -> str:
        return job.why or "-"

    @admin.display(description=_("scheduled by"))
    def by(self, job: Job) -> str:
        return job.who

    def has_rerun_permission(self, request: HttpRequest) -> bool:
        return has_right_to_some_jobs(request.user, "rerun")

    def has_schedule_permission(self, request: HttpRequest) -> bool:
        return has_right_to_some_jobs(request.user, "schedule")

    rerun_selected = bulk.list_action(bulk.RERUN_JOBS)
    cancel_selected = bulk.list_action(bulk.CANCEL_JOBS)

    def get_urls(self) -> list[URLPattern]:
        """Add a URL for each button, before the admin's own patterns, which would match too."""
        view = self.admin_site.admin_view(posted(self._act, partial(change_url, Job)))
        to_list = partial(reverse, "admin:scheduling_job_changelist")
        urls = [
            path(f"<int:pk>/{it.name}/", view, {"action": it}, name=f"scheduling_job_{it.name}")
            for it in JOB_ACTIONS
        ]
        urls += [
            path(
                f"{name}/",
                self.admin_site.admin_view(posted(self._pause, to_list)),
                {"operation": operation, "done": done, "form_class": form_class},
                name=f"scheduling_job_{name}",
            )
            for name, operation, done, form_class in (
                ("pause", pausing.pause, _("Publishing is paused."), PauseForm),
                ("resume", pausing.resume, _("Publishing goes on."), ButtonForm),
            )
        ]
        urls.append(
            path(
                "live/",
                self.admin_site.admin_view(require_GET(never_cache(self._live))),
                name="scheduling_job_live",
            )
        )
        return urls + super().get_urls()

    def _live(self, request: HttpRequest) -> JsonResponse:
        """Return what the list shows of some jobs now, and in how many seconds to ask again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        ids = parse_ids(*request.GET.get("ids", "").split(",")[:MOST_WATCHED])
        jobs = list(self.get_queryset(request).filter(pk__in=ids))
        now = jobs[0].clock_at if jobs else clock.database_now()
        times = [job.next_attempt_at for job in jobs if job.is_open]
        return JsonResponse(
            {"rows": live_rows(self, request, jobs), "again": seconds_until_news(times, now)}
        )

    def _pause(
        self,
        request: HttpRequest,
        operation: Callable[..., object],
        done: Text,
        form_class: type[ReasonForm],
    ) -> HttpResponse:
        if not has_right(request.user, "pause", Job):
            raise PermissionDenied
        form = form_class(request.POST)
        if form.is_valid():
            arguments = form.arguments()
            if isinstance(form, ButtonForm):
                arguments["expected"] = form.expected(Pause(), OF_PAUSE)
            try:
                operation(by=request.user, **arguments)
                messages.success(request, str(done))
            except ChangedMeanwhile as changed:
                messages.error(request, described(changed.row, {}))
            except DomainError as refusal:
                messages.error(request, str(refusal))
        else:
            messages.error(request, " ".join(str(error) for error in form.errors["reason"]))
        return redirect("admin:scheduling_job_changelist")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        pauses = PauseEvent.objects.select_related("by").order_by("-pk")[:PAUSES_SHOWN]
        held = pausing.current()
        form = (
            ButtonForm(initial={"seen": signed(held)}, auto_id="pause_%s")
            if held
            else PauseForm(auto_id="pause_%s")
        )
        more = {"held": held, "pause_form": form, "pauses": pauses}
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def _act(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        job = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        if not has_right_to(request.user, action.right, job):
            raise PermissionDenied
        form = action.form(request.POST, auto_id=f"{action.name}_%s")
        back = change_url(Job, pk)
        if carry_out(request, form, action, job=job):
            return redirect(back)
        return ask_again(self, request, form, action, job, back=back)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["events"] = history(obj.events.all())
        # Classes and tracebacks are for operators; others read the reason.
        context["may_rerun"] = has_right_to(request.user, "rerun", obj)
        context["buttons"] = buttons(
            obj, JOB_ACTIONS, signed(obj), lambda right: has_right_to(request.user, right, obj)
        )
        return super().render_change_form(request, context, add, change, form_url, obj)
