"""The calendar: what will go live, what went live and what failed, by day; entries can be moved."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Model, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext, gettext_noop, pgettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from armo.accounts import zones
from armo.accounts.local_time import (
    LATEST_TYPED,
    LocalText,
    LocalTimeField,
    LocalTimeInput,
    choices,
)
from armo.common.moments import MESSAGES, MomentFormField, parse_day
from scheduling import operations
from scheduling.access.permissions import (
    User,
    has_right,
    has_right_to,
    has_right_to_jobs_of,
    jobs_of_own_items,
    visible_jobs,
)
from scheduling.admin.display import shown_clock, shown_day, shown_moment, start_of
from scheduling.admin.filters import start_of_week
from scheduling.admin.seen import last_change_by
from scheduling.errors import DomainError, Reason
from scheduling.models import (
    OPEN_STATES,
    TRANSITIONS,
    Job,
    SpanOf,
    State,
    clock,
    kind_choices,
    schedulable_models,
)
from scheduling.models.times import utc

# So many entries fit in a cell of a month, and on a page.
MOST_A_DAY = 8
MOST_ENTRIES = 2000

# Beyond these, the end of a week or another time zone may be a date that Python does not have.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(9000, 1, 1)

ONE_DAY = timedelta(days=1)


def may_open(user: User) -> bool:
    """Return whether there may be anything in the calendar that the person may see."""
    types: list[type[Model]] = [Job, *schedulable_models()]
    return any(has_right(user, "view", model) for model in types)


def jobs_to_show(user: User) -> QuerySet[Job]:
    """Query the jobs that the person may see, without the cancelled ones."""
    jobs: QuerySet[Job] = visible_jobs(user, Job.objects.all())
    return jobs.exclude(state=State.CANCELLED)


class FilterForm(forms.Form):
    """The filters of the calendar. A value that is not among the choices is ignored."""

    type = forms.ChoiceField(label=_("type"), required=False)
    kind = forms.ChoiceField(label=_("kind"), required=False)
    status = forms.ChoiceField(label=_("state"), required=False)
    author = forms.ChoiceField(label=_("author"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types = [
            (str(model._meta.model_name), capfirst(str(model._meta.verbose_name)))
            for model in schedulable_models()
        ]
        choices: dict[str, list[Any]] = {
            "type": types,
            "kind": kind_choices(),
            "status": [
                ("scheduled", gettext("Still to run")),
                (State.SUCCEEDED.value, State.SUCCEEDED.label),
                (State.FAILED.value, State.FAILED.label),
            ],
            "author": [("me", gettext("me"))],
        }
        for name, values in choices.items():
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [("", gettext("all")), *values]
            field.label = capfirst(str(field.label))

    def chosen(self) -> dict[str, str]:
        """Return the chosen filters, for the query string of a link."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}

    def narrow(self, jobs: QuerySet[Job], user: User) -> QuerySet[Job]:
        chosen = self.chosen()
        models = schedulable_models()
        if name := chosen.get("type"):
            wanted = [model for model in models if model._meta.model_name == name]
            types = ContentType.objects.get_for_models(*wanted).values()
            jobs = jobs.filter(content_type__in=[each.pk for each in types])
        if kind := chosen.get("kind"):
            jobs = jobs.filter(kind=kind)
        if status := chosen.get("status"):
            jobs = jobs.filter(state__in=OPEN_STATES if status == "scheduled" else [status])
        if "author" in chosen:
            own = Q(pk__in=[])
            for model in models:
                own |= jobs_of_own_items(user, model)
            jobs = jobs.filter(own)
        return jobs


@dataclass(frozen=True)
class Period:
    """The days that a page shows, and where its arrows lead."""

    view: str
    day: date
    first: date
    last: date
    previous: date
    next: date
    title: str

    @property
    def days(self) -> list[date]:
        return [self.first + n * ONE_DAY for n in range((self.last - self.first).days + 1)]


def month_of(day: date) -> Period:
    """Return the month of a day, in whole weeks."""
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    last = start_of_week(following - ONE_DAY) + 6 * ONE_DAY
    previous = (first - ONE_DAY).replace(day=1)
    title = date_format(first, "YEAR_MONTH_FORMAT")
    return Period("month", day, start_of_week(first), last, previous, following, title)


def week_of(day: date) -> Period:
    """Return the week of a day, from Monday."""
    first = start_of_week(day)
    last = first + 6 * ONE_DAY
    title = f"{date_format(first, 'DATE_FORMAT')} – {date_format(last, 'DATE_FORMAT')}"
    return Period("week", day, first, last, day - 7 * ONE_DAY, day + 7 * ONE_DAY, title)


def day_of(day: date) -> Period:
    """Return one day."""
    title = f"{date_format(day, 'DATE_FORMAT')} ({date_format(day, 'D')})"
    return Period("day", day, day, day, day - ONE_DAY, day + ONE_DAY, title)


PERIODS = {"month": month_of, "week": week_of, "day": day_of}


def _read_day(text: str, today: date) -> date:
    day = parse_day(text)
    return day if day is not None and FIRST_DAY <= day <= LAST_DAY else today


class Entry(NamedTuple):
    """One job as the calendar shows it."""

    job: int
    day: date
    time: str
    # To the microsecond: in the person's time zone, and in UTC.
    local: str
    run_at: str
    title: str
    type: str
    kind: str
    kind_label: str
    state: str
    state_label: str
    url: str
    is_movable: bool


class Row(NamedTuple):
    """What an entry is made of."""

    pk: int
    kind: str
    state: str
    content_type_id: int
    object_id: int
    item_title: str
    run_at: datetime


FIELDS = Row._fields


class _Type(NamedTuple):
    """What the entries of one type of content have in common."""

    name: str
    label: str
    # The URL of an item's page, before and after its primary key.
    head: str
    tail: str
    is_movable: bool


class Writer:
    """Makes entries for one person; what is the same for all of them is looked up once."""

    def __init__(self, user: User) -> None:
        types = ContentType.objects.get_for_models(*schedulable_models())
        self.types = {type_.pk: _type(user, model) for model, type_ in types.items()}
        self.gone = _type(user, None)
        # A lazy label is translated each time that it is used.
        self.kinds = {kind: str(label) for kind, label in kind_choices()}
        self.states = {state.value: str(state.label) for state in State}
        self.zone = timezone.get_current_timezone()

    def entry(self, row: Row) -> Entry:
        type_ = self.types.get(row.content_type_id, self.gone)
        local = row.run_at.astimezone(self.zone)
        # Without a page of the item, the entry links to the job's.
        number = row.pk if type_ is self.gone or not type_.label else row.object_id
        return Entry(
            job=row.pk,
            day=local.date(),
            time=shown_clock(local),
            local=local.replace(tzinfo=None).isoformat(timespec="microseconds"),
            run_at=utc(row.run_at),
            title=row.item_title or f"{type_.name}:{row.object_id}",
            type=type_.label,
            kind=row.kind,
            kind_label=self.kinds.get(row.kind, row.kind),
            state=row.state,
            state_label=self.states[row.state],
            url=f"{type_.head}{number}{type_.tail}",
            is_movable=type_.is_movable and row.state in OPEN_STATES,
        )


def _type(user: User, model: type[Model] | None) -> _Type:
    shown = model if model is not None and admin.site.is_registered(model) else None
    opts = (shown or Job)._meta
    address = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[0])
    head, _zero, tail = address.rpartition("/0/")
    return _Type(
        name="" if model is None else str(model._meta.model_name),
        label="" if shown is None else capfirst(str(opts.verbose_name)),
        head=f"{head}/",
        tail=f"/{tail}",
        is_movable=has_right_to_jobs_of(user, "schedule", model),
    )


class Day(NamedTuple):
    """One day on the page."""

    day: date
    label: str
    url: str
    entries: list[Entry]
    # How many more there are than fit in its cell, as text.
    more: str
    is_today: bool
    is_outside: bool


@require_safe
def calendar(request: HttpRequest) -> HttpResponse:
    """Show the jobs of a month, a week or a day."""
    user = request.user
    if not may_open(user):
        raise PermissionDenied
    today = timezone.localdate(clock.database_now())
    view = request.GET.get("view", "")
    make_period = PERIODS.get(view, week_of)
    period = make_period(_read_day(request.GET.get("date", ""), today))
    form = FilterForm(request.GET)
    jobs = form.narrow(jobs_to_show(user), user).filter(
        run_at__gte=start_of(period.first), run_at__lt=start_of(period.last + ONE_DAY)
    )
    is_month = period.view == "month"
    rows, totals = _first_of_each_day(jobs, period.days) if is_month else _all_of(jobs)
    chosen = form.chosen()

    def link(view: str, day: date) -> str:
        return "?" + urlencode({"view": view, "date": day.isoformat(), **chosen})

    writer = Writer(user)
    entries: dict[date, list[Entry]] = defaultdict(list)
    for row in rows[:MOST_ENTRIES]:
        entry = writer.entry(row)
        entries[entry.day].append(entry)
    days = [
        Day(
            day=day,
            label=shown_day(day),
            url=link("day", day),
            entries=entries[day],
            more=_more(totals.get(day, 0) - len(entries[day])),
            is_today=day == today,
            is_outside=is_month and day.month != period.day.month,
        )
        for day in period.days
    ]
    context = {
        **admin.site.each_context(request),
        "title": gettext("Calendar"),
        "period": period,
        "days": days,
        "kinds": [(it.name, it.legend or it.label) for it in TRANSITIONS.values()],
        "states": [(state, state.label) for state in State if state != State.CANCELLED],
        "weekdays": [date_format(day, "D") for day in period.days[:7]],
        "form": form,
        "is_narrowed": bool(chosen),
        "views": [
            (name, label, link(name, period.day))
            for name, label in (
                ("month", pgettext("view of the calendar", "Month")),
                ("week", pgettext("view of the calendar", "Week")),
                ("day", pgettext("view of the calendar", "Day")),
            )
        ],
        "previous_url": link(period.view, period.previous),
        "next_url": link(period.view, period.next),
        "today_url": link(period.view, today),
        "all_url": "?" + urlencode({"view": period.view, "date": period.day.isoformat()}),
        "is_empty": not rows,
        "most": MOST_ENTRIES if len(rows) > MOST_ENTRIES else 0,
        "latest_typed": LATEST_TYPED,
        "may_move": any(entry.is_movable for of_day in entries.values() for entry in of_day),
        "script": {
            "url": reverse("admin-calendar-move"),
            "room": MOST_A_DAY,
            "failed": gettext("The server did not answer. The entry may not have been moved."),
            "signedOut": gettext("You may have been signed out. Load the page again."),
        },
    }
    return TemplateResponse(request, "scheduling/calendar.html", context)


def _all_of(jobs: QuerySet[Job]) -> tuple[Sequence[Row], dict[date, int]]:
    found = jobs.order_by("run_at", "pk").values_list(*FIELDS)[: MOST_ENTRIES + 1]
    return [Row(*values) for values in found], {}


def _first_of_each_day(
    jobs: QuerySet[Job], days: Sequence[date]
) -> tuple[Sequence[Row], dict[date, int]]:
    """Query the first few jobs of each day, and how many each has."""
    day = SpanOf("run_at", [start_of(day) for day in days])
    in_order = (F("run_at").asc(), F("pk").asc())
    found = (
        jobs.annotate(
            place=Window(RowNumber(), partition_by=day, order_by=in_order),
            total=Window(Count("pk"), partition_by=day),
            day=day,
        )
        .filter(place__lte=MOST_A_DAY)
        .order_by("run_at", "pk")
        .values_list(*FIELDS, "day", "total")
    )
    rows: list[Row] = []
    totals: dict[date, int] = {}
    for *values, number, total in found:
        rows.append(Row(*values))
        totals[days[number - 1]] = total
    return rows, totals


def _more(count: int) -> str:
    return gettext("%(count)d more") % {"count": count} if count > 0 else ""


class MoveForm(forms.Form):
    """Which job is moved, to which time, and the time that the page has shown."""

    job = forms.IntegerField(min_value=1, max_value=2**63 - 1)
    to = LocalTimeField()
    expected = MomentFormField()


@require_POST
def move(request: HttpRequest) -> JsonResponse:
    """
    Give a job another time; answer with its entry as it is then, also after a refusal.

    Times are in the time zone that the page shows, also if the person has since chosen another.
    """
    zone = zones.find(request.POST.get("to_zone", "")) or timezone.get_current_timezone()
    with timezone.override(zone):
        return _answer_move(request)


def _answer_move(request: HttpRequest) -> JsonResponse:
    user = request.user
    assert user.is_authenticated  # the admin lets nobody else in
    form = MoveForm(request.POST)
    form.is_valid()
    pk = form.cleaned_data.get("job")
    job = None if pk is None else jobs_to_show(user).filter(pk=pk).first()
    if job is None:
        return _refused(gettext("There is no such job."), status=404)
    if not has_right_to(user, "schedule", job):
        return _refused(gettext("You have no right to do this."), status=403)
    if not form.is_valid():
        errors = [error for errors in form.errors.as_data().values() for error in errors]
        is_malformed = any(error.code in ("required", *MESSAGES) for error in errors)
        text = " ".join(message for error in errors for message in error.messages)
        which = _which(request)
        status = 400 if is_malformed else 422 if which else 409
        return _refused(text, status=status, job=job, user=user, which=which)
    was = job.run_at
    try:
        operations.move(
            job=job,
            run_at=form.cleaned_data["to"],
            by=user,
            zone=timezone.get_current_timezone_name(),
            reason=Reason("moved_in_calendar", gettext_noop("Moved in the calendar.")),
            expected=operations.Seen.job(run_at=form.cleaned_data["expected"]),
        )
    except operations.ChangedMeanwhile:
        job.refresh_from_db()
        text = gettext("It has been moved meanwhile to %(time)s by %(who)s.")
        text %= {"time": shown_moment(job.run_at), "who": last_change_by(job)}
        return _refused(text, status=409, job=job, user=user)
    except DomainError as refusal:
        return _refused(str(refusal), status=409, job=job, user=user)
    job.refresh_from_db()
    text = gettext("“%(title)s” moved to %(time)s.") % {
        "title": job.item_title or job.item_label,
        "time": shown_moment(job.run_at),
    }
    return JsonResponse({"text": text, "was": utc(was), "entry": _entry(job, user)})


def _which(request: HttpRequest) -> str:
    """Return HTML that asks which moment is meant if the clocks show a time twice, or nothing."""
    typed: LocalText | None = LocalTimeInput().value_from_datadict(request.POST, {}, "to")
    context = {"name": "to", "choices": choices(typed)}
    return render_to_string("people/which.html", context).strip()


def _refused(
    text: str, *, status: int, job: Job | None = None, user: User | None = None, which: str = ""
) -> JsonResponse:
    answer: dict[str, Any] = {"text": text, "which": which}
    if job is not None and user is not None:
        job.refresh_from_db()
        answer["text"] = f"“{job.item_title or job.item_label}”: {text}"
        answer["entry"] = _entry(job, user)
    return JsonResponse(answer, status=status)


def _entry(job: Job, user: User) -> dict[str, Any]:
    """Return the job's entry as it is now; without HTML if the calendar shows it no more."""
    row = Row(*(getattr(job, name) for name in FIELDS))
    entry = Writer(user).entry(row)
    html = render_to_string("scheduling/calendar_entries.html", {"entries": [entry]})
    return {
        "job": job.pk,
        "day": entry.day.isoformat(),
        "run_at": entry.run_at,
        "html": "" if job.state == State.CANCELLED else html,
    }


urls = [
    path("", admin.site.admin_view(calendar), name="admin-calendar"),
    path("move/", admin.site.admin_view(move), name="admin-calendar-move"),
]
