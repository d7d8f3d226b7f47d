"""
What is done to many items at once: first a page that says what would happen, and what would not.

The page is a forecast, made of the rows as they are, by the very checks that the operations make
under their locks. It is done to just those that the page said it would be done to, as it showed
them: the operations refuse a row that was changed before the person said yes.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from armo.common.api.fields import MAX_ID
from armo.common.theme import ModelAdmin
from scheduling import operations
from scheduling.access.permissions import NotAllowed, User, has_right_to, has_right_to_jobs_of
from scheduling.admin.actions import report
from scheduling.admin.display import Text, badge, shown_time
from scheduling.admin.forms import IntervalForm, MomentForm, ReasonForm
from scheduling.admin.seen import OF_JOB, TEXT, expect, last_change_by, packed, unpacked
from scheduling.errors import DomainError
from scheduling.models import IsOneOf, Job, Schedulable, State, Status, clock
from scheduling.operations import Seen

# So many are previewed and done while the person waits.
MOST_AT_ONCE = 2000
# What takes a look under locks is previewed of so many only, and of the others when it is done.
PREVIEWED = 200
# A web server gives up on a request after half a minute; what is left is told, and done next.
PATIENCE_SECONDS = 15.0
# Rows of each part of the page.
SHOWN = 200
# Of so many that were refused it is said who has changed them.
NAMED = 200

ROWS = "rows"
CONFIRMED = "confirmed"
# What the page before has shown: what was filled in, and how each row was that it would be done to.
SEEN = "seen"

Refusals = dict[Any, DomainError]


class Plan(NamedTuple):
    """What would become of one row, or why nothing would."""

    row: Any
    now: str
    then: str = ""
    refusal: DomainError | None = None


@dataclass(frozen=True)
class Bulk:
    """Something that is done to many items, or jobs."""

    action: str
    label: Text
    form: type[ReasonForm]
    # Says what would become of a row; raises what its operation would.
    preview: Callable[[Any, Any, datetime], str]
    # Does it to those for which nothing was raised, if they are as the page has shown them; returns
    # what was refused.
    do: Callable[[Mapping[Any, Seen], Any, Any], Refusals]
    shown: Callable[[Any], str]
    # The right to do it to one job; to items of the type, the list has asked already.
    right: str = ""
    # How many at once, and of how many of them it is previewed.
    most: int = MOST_AT_ONCE
    previewed: int = MOST_AT_ONCE


def shown_item(item: Schedulable) -> str:
    """Show how an item is now."""
    at = "" if item.publish_at is None else shown_time(item.publish_at)
    return format_html("{} {}", badge(item.status, item.get_status_display()), at)


def shown_job(job: Job) -> str:
    """Show how a job is now."""
    state = badge(job.state, job.get_state_display())
    return format_html("{} {} {}", job.get_kind_display(), state, shown_time(job.run_at))


def may_rerun(user: User, model: type[Model]) -> bool:
    """Return whether the person may run failed jobs of that type again."""
    return has_right_to_jobs_of(user, "rerun", model)


# What each would do


def _preview_schedule(item: Schedulable, form: MomentForm, now: datetime) -> str:
    run_at = form.cleaned_data["run_at"]
    operations.check_schedule(row=item, run_at=run_at, now=now)
    return shown_time(run_at)


def _preview_shift(item: Schedulable, form: IntervalForm, now: datetime) -> str:
    run_at = _shifted(item, form)
    operations.check_schedule(row=item, run_at=run_at, now=now)
    return shown_time(run_at)


def _shifted(item: Schedulable, form: IntervalForm) -> datetime:
    if item.status != Status.SCHEDULED or item.publish_at is None:
        raise operations.InvalidTransition(gettext("Only what is scheduled can be shifted."))
    try:
        return form.shifted(item.publish_at)
    except (OverflowError, ValueError) as error:
        raise operations.InvalidTransition(gettext("That leaves the calendar.")) from error


def _preview_cancel(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_unschedule(row=item)
    before = Status.DRAFT if item.published_at is None else Status.UNPUBLISHED
    return badge(before, before.label)


def _preview_publish(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_publish_now(row=item)
    return badge(Status.PUBLISHED, Status.PUBLISHED.label)


def _preview_unpublish(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_unpublish_now(row=item)
    return badge(Status.UNPUBLISHED, Status.UNPUBLISHED.label)


def _preview_rerun(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_rerun(job=_failed_job(item))
    return str(gettext("runs again"))


def _failed_job(item: Schedulable) -> Job:
    failed = Job.objects.of(item).filter(state=State.FAILED).order_by("-pk").first()
    if failed is None:
        raise operations.JobNotFound(gettext("It has no failed job."))
    return failed


def _preview_cancel_job(job: Job, form: ReasonForm, now: datetime) -> str:
    if not job.is_open:
        raise operations.InvalidTransition(gettext("The job has already run or been cancelled."))
    return badge(State.CANCELLED, State.CANCELLED.label)


def _preview_rerun_job(job: Job, form: ReasonForm, now: datetime) -> str:
    operations.check_rerun(job=job)
    return str(gettext("runs again"))


# Doing it


def _require_right(user: Any, right: str, row: Any) -> None:
    if isinstance(row, Job) and not has_right_to(user, right, row):
        raise NotAllowed


def _each(
    right: str, operation: Callable[..., object], rows: Mapping[Any, Seen], form: Any, user: Any
) -> Refusals:
    """Call the operation for each row, in the little time there is."""
    refused: Refusals = {}
    deadline = monotonic() + PATIENCE_SECONDS
    for row, expected in rows.items():
        try:
            if monotonic() > deadline:
                raise TooMany
            _require_right(user, right, row)
            operation(row, by=user, reason=form.cleaned_data["reason"], expected=expected)
        except DomainError as refusal:
            refused[row] = refusal
    return refused


class TooMany(DomainError):
    """There was no time left for it. Do the same again."""

    code = "too_many"


def _schedule(items: Mapping[Schedulable, Seen], form: MomentForm, user: Any) -> Refusals:
    """Schedule all in one go; without those that somebody has changed meanwhile."""
    return _schedule_at(items, form.cleaned_data["run_at"], form, user)


def _schedule_at(
    items: Mapping[Schedulable, Seen], run_at: datetime, form: ReasonForm, user: Any
) -> Refusals:
    left = list(items)
    refused: Refusals = {}
    while left:
        try:
            operations.schedule_many(
                items=left,
                run_at=run_at,
                by=user,
                reason=form.cleaned_data["reason"],
                expected=items,
            )
        except operations.SomeRefused as some:
            refused |= some.refusals
            left = [item for item in left if item not in some.refusals]
        except DomainError as refusal:
            return refused | dict.fromkeys(left, refusal)
        else:
            break
    return refused


def _shift(items: Mapping[Schedulable, Seen], form: IntervalForm, user: Any) -> Refusals:
    by_time: dict[datetime, dict[Schedulable, Seen]] = defaultdict(dict)
    refused: Refusals = {}
    for item, expected in items.items():
        try:
            by_time[_shifted(item, form)][item] = expected
        except DomainError as refusal:
            refused[item] = refusal
    deadline = monotonic() + PATIENCE_SECONDS
    for run_at, together in by_time.items():
        if monotonic() > deadline:
            refused |= dict.fromkeys(together, TooMany())
            continue
        refused |= _schedule_at(together, run_at, form, user)
    return refused


def _unschedule(item: Schedulable, **options: Any) -> None:
    operations.unschedule(item=item, **options)


def _publish(item: Schedulable, **options: Any) -> None:
    operations.publish_now(item=item, **options)


def _unpublish(item: Schedulable, **options: Any) -> None:
    operations.unpublish_now(item=item, **options)


def _rerun(item: Schedulable, **options: Any) -> None:
    operations.rerun(job=_failed_job(item), **options)


def _cancel_job(job: Job, **options: Any) -> None:
    operations.cancel(job=job, **options)


def _rerun_job(job: Job, **options: Any) -> None:
    operations.rerun(job=job, **options)


SCHEDULE = Bulk(
    "schedule_selected",
    _("Schedule at a time"),
    MomentForm,
    _preview_schedule,
    _schedule,
    shown_item,
)
SHIFT = Bulk(
    "shift_selected", _("Shift by an interval"), IntervalForm, _preview_shift, _shift, shown_item
)
CANCEL = Bulk(
    "cancel_selected",
    _("Cancel the schedule"),
    ReasonForm,
    _preview_cancel,
    partial(_each, "schedule", _unschedule),
    shown_item,
)
PUBLISH = Bulk(
    "publish_selected",
    _("Publish now"),
    ReasonForm,
    _preview_publish,
    partial(_each, "publish", _publish),
    shown_item,
)
UNPUBLISH = Bulk(
    "unpublish_selected",
    _("Take down now"),
    ReasonForm,
    _preview_unpublish,
    partial(_each, "publish", _unpublish),
    shown_item,
)
RERUN = Bulk(
    "rerun_selected",
    _("Run again"),
    ReasonForm,
    _preview_rerun,
    partial(_each, "rerun", _rerun),
    shown_item,
    previewed=PREVIEWED,
)
RERUN_JOBS = Bulk(
    "rerun_selected",
    _("Run again"),
    ReasonForm,
    _preview_rerun_job,
    partial(_each, "rerun", _rerun_job),
    shown_job,
    right="rerun",
    most=20_000,
    previewed=PREVIEWED,
)
CANCEL_JOBS = Bulk(
    "cancel_selected",
    _("Cancel the job"),
    ReasonForm,
    _preview_cancel_job,
    partial(_each, "schedule", _cancel_job),
    shown_job,
    right="schedule",
    most=20_000,
)


# The page


def ask(
    model_admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any], bulk: Bulk, *, order: str
) -> HttpResponse | None:
    """
    Say what would happen to the selected rows; do it once that is confirmed.

    :param order: the field in whose order it is shown, and done.
    :returns: the page; None sends the person back to the list.
    """
    ids = _confirmed_ids(request)
    if ids is None:
        ids = list(rows.order_by().values_list("pk", flat=True)[: bulk.most + 1])
    if len(ids) > bulk.most:
        text = gettext("At most %(count)d at once: narrow the list by its filters.")
        messages.error(request, text % {"count": bulk.most})
        return None
    # Whole rows: the checks read the text, which the list does not. Never more than he may see.
    chosen = list(
        model_admin.get_queryset(request).filter(IsOneOf("pk", ids)).order_by(order, "pk")
    )
    is_first = ROWS not in request.POST
    form = bulk.form() if is_first else bulk.form(request.POST)
    is_ready = not _asks(bulk) if is_first else form.is_valid()
    plans: list[Plan] = []
    if is_ready:
        if is_first:
            form.cleaned_data = {"reason": ""}
        seen = _seen(request, form) if CONFIRMED in request.POST else None
        if seen is not None:
            _do(request, bulk, chosen, form, seen)
            return HttpResponseRedirect(request.get_full_path())
        plans = _preview(bulk, chosen[: bulk.previewed], form, request.user)
    return _page(model_admin, request, bulk, chosen, form, plans, is_ready)


def _asks(bulk: Bulk) -> bool:
    """Return whether something has to be filled in before anything can be previewed."""
    return any(field.required for field in bulk.form.base_fields.values())


def _confirmed_ids(request: HttpRequest) -> list[int] | None:
    """Return the rows that the page before was about."""
    try:
        ids = json.loads(request.POST[ROWS])
    except (KeyError, ValueError, RecursionError):
        return None
    if not isinstance(ids, list):
        return None
    # Not isinstance: true and false are numbers to it.
    return [pk for pk in ids if type(pk) is int and 0 < pk <= MAX_ID]


def _names(row: Any) -> tuple[str, ...]:
    """Return the fields that say how a row is."""
    return OF_JOB if isinstance(row, Job) else TEXT


def _wish(form: ReasonForm) -> str:
    """Return a sign of what is to be done; why is no matter."""
    return json.dumps({**form.cleaned_data, "reason": ""}, default=str, sort_keys=True)


def _seen(request: HttpRequest, form: ReasonForm) -> dict[str, Any] | None:
    """Return how the rows were on the page before; None if it was not about this."""
    try:
        seen = json.loads(request.POST[SEEN])
        rows = seen["rows"] if seen["wish"] == _wish(form) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return rows if isinstance(rows, dict) else None


def _preview(bulk: Bulk, rows: Iterable[Any], form: ReasonForm, user: Any) -> list[Plan]:
    now = clock.database_now()
    plans = []
    for row in rows:
        try:
            _require_right(user, bulk.right, row)
            then = bulk.preview(row, form, now)
            plans.append(Plan(row, bulk.shown(row), then=then))
        except DomainError as refusal:
            plans.append(Plan(row, bulk.shown(row), refusal=refusal))
    return plans


def _do(
    request: HttpRequest, bulk: Bulk, rows: Sequence[Any], form: ReasonForm, seen: Mapping[str, Any]
) -> None:
    """
    Do it to the rows of which the page said that it would be done, and say what was refused.

    :param seen: how those were, by their numbers.
    """
    promised, others = {}, []
    for row in rows:
        if str(row.pk) in seen:
            names = _names(row)
            promised[row] = expect(row, unpacked(seen[str(row.pk)], names))
        else:
            others.append(row)
    # What could be done by now could not when the page was made.
    refused: Refusals = {row: operations.ChangedMeanwhile(row) for row in others}
    for plan in _preview(bulk, others[: bulk.previewed], form, request.user):
        if plan.refusal is not None:
            refused[plan.row] = plan.refusal
    refused |= bulk.do(promised, form, request.user)
    done = len(rows) - len(refused)
    said = ngettext("%(count)d done.", "%(count)d done.", done) % {"count": done}
    titles: dict[str, list[str]] = defaultdict(list)
    for place, (row, refusal) in enumerate(refused.items()):
        said_of = _said_of(refusal, row) if place < NAMED else str(refusal)
        titles[said_of].append(title_of(row))
    report(request, bulk.label, said if done else "", titles)


def _said_of(refusal: DomainError, row: Any) -> str:
    """Return what is said of a row that was refused; query, of one that was changed, by whom."""
    if not isinstance(refusal, operations.ChangedMeanwhile):
        return str(refusal)
    return gettext("It was changed meanwhile, by %(who)s.") % {"who": last_change_by(row)}


def title_of(row: Any) -> str:
    """Return what a person calls a row."""
    return (row.item_title or str(row)) if isinstance(row, Job) else str(row)


def _shown_of(allowed: Sequence[Plan], not_previewed: Sequence[Any], form: ReasonForm) -> str:
    rows = [*(plan.row for plan in allowed), *not_previewed]
    shown = {row.pk: packed(row, _names(row)) for row in rows}
    return json.dumps({"wish": _wish(form), "rows": shown})


def _page(
    model_admin: ModelAdmin,
    request: HttpRequest,
    bulk: Bulk,
    rows: Sequence[Any],
    form: ReasonForm,
    plans: Sequence[Plan],
    is_ready: bool,
) -> HttpResponse:
    parts = {
        "allowed": [plan for plan in plans if plan.refusal is None],
        "refused": [plan for plan in plans if plan.refusal is not None],
        "chosen": [] if is_ready else [Plan(row, bulk.shown(row)) for row in rows[:SHOWN]],
    }
    counts = {name: len(part) for name, part in parts.items()}
    if not is_ready:
        counts["chosen"] = len(rows)
    not_previewed = max(len(rows) - bulk.previewed, 0) if is_ready else 0
    context = {
        **model_admin.admin_site.each_context(request),
        "title": bulk.label,
        "subtitle": model_admin.opts.verbose_name_plural,
        "opts": model_admin.opts,
        "bulk": bulk,
        "form": form,
        "rows": json.dumps([row.pk for row in rows]),
        "seen": _shown_of(parts["allowed"], rows[bulk.previewed :], form) if is_ready else "",
        "count": len(rows),
        "is_ready": is_ready,
        "can_do": counts["allowed"] + not_previewed,
        "not_previewed": not_previewed,
        "parts": [
            {
                "name": name,
                "plans": parts[name][:SHOWN],
                "count": counts[name],
                "more": max(counts[name] - SHOWN, 0),
            }
            for name in ("refused", "allowed", "chosen")
            if parts[name]
        ],
        "back": request.get_full_path(),
    }
    status = 422 if form.is_bound and not is_ready else 200
    return TemplateResponse(request, "scheduling/bulk.html", context, status=status)
