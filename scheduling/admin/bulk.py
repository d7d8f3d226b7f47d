"""
Actions on many items at once: first a page that says what would happen, and what would not.

The page is a preview, made of the rows as they are, by the checks that the operations make under
their locks. The action is then done to those rows only for which the page has said so, as it has
shown them: the operations refuse a row that was changed before the person confirmed.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from armo.common.api.fields import MAX_ID
from armo.common.theme import ModelAdmin
from scheduling import operations
from scheduling.access.permissions import NotAllowed, has_right_to
from scheduling.admin.actions import ACTIONS, JOB_ACTIONS, Action, report
from scheduling.admin.display import Text, badge, shown_time
from scheduling.admin.forms import IntervalForm, MomentForm, ReasonForm
from scheduling.admin.seen import OF_JOB, TEXT, expect, last_change_by, packed, unpacked
from scheduling.errors import DomainError
from scheduling.models import (
    IsOneOf,
    Job,
    Kind,
    Schedulable,
    State,
    Status,
    clock,
    status_label,
    transition_of,
)
from scheduling.operations import Seen

# So many are previewed and done while the person waits.
MOST_AT_ONCE = 2000
MOST_JOBS_AT_ONCE = 20_000
# A preview that takes locks is made for so many only; the others are checked when it is done.
PREVIEWED = 200
# A web server drops a request after half a minute; the rows left over are named, and done next.
PATIENCE_SECONDS = 15.0
# Rows of each part of the page.
SHOWN = 200
# Of so many that were refused the page says who has changed them.
NAMED = 200

ROWS = "rows"
CONFIRMED = "confirmed"
# What the page before has shown: the fields of the form, and the rows that it would be done to.
SEEN = "seen"

Refusals = dict[Any, DomainError]
# Of a row, with a form, at a time.
Preview = Callable[[Any, Any, datetime], str]


class Plan(NamedTuple):
    """What would become of one row, or why nothing would."""

    row: Any
    now: str
    then: str = ""
    refusal: DomainError | None = None


@dataclass
class Bulk:
    """An action on many items, or on many jobs."""

    action: str
    label: Text
    # The right to do it: to items of the type, which the list asks for, or to each job.
    right: str
    # Says what would become of a row; raises what its operation would.
    preview: Preview
    # Called for each row; None: the items are scheduled together.
    operation: Callable[..., object] | None = None
    form: type[ReasonForm] = ReasonForm
    # How many at once, and of how many of them it is previewed.
    most: int = MOST_AT_ONCE
    previewed: int = MOST_AT_ONCE


def list_action(bulk: Bulk) -> Callable[..., HttpResponse | None]:
    """Return the method of a `ModelAdmin` that offers an action in its list."""

    @admin.action(permissions=[bulk.right], description=bulk.label)  # type: ignore[arg-type]  # a lazy text
    def selected(
        model_admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any]
    ) -> HttpResponse | None:
        return ask(model_admin, request, rows, bulk)

    return selected


def _shown(row: Any) -> str:
    if isinstance(row, Job):
        state = badge(row.state, row.get_state_display())
        return format_html("{} {} {}", row.get_kind_display(), state, shown_time(row.run_at))
    at = "" if row.publish_at is None else shown_time(row.publish_at)
    return format_html("{} {}", badge(row.status, row.get_status_display()), at)


# What each would do


def _preview_time(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    run_at = _time(item, form)
    operations.check_schedule(row=item, run_at=run_at, now=now)
    return shown_time(run_at)


def _time(item: Schedulable, form: ReasonForm) -> datetime:
    """Return the time that an item is scheduled for: one for all, or its own, shifted."""
    if not isinstance(form, IntervalForm):
        run_at: datetime = form.cleaned_data["run_at"]
        return run_at
    publish_at = transition_of(Kind.PUBLISH).asked_at(item)
    if publish_at is None:
        raise operations.InvalidTransition(gettext("Only what is scheduled can be shifted."))
    try:
        return form.shifted(publish_at)
    except (OverflowError, ValueError) as error:
        raise operations.InvalidTransition(gettext("That date is out of range.")) from error


def _preview_cancel(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_unschedule(row=item)
    before = transition_of(Kind.PUBLISH).unplanned(item)["status"]
    return badge(before, status_label(before))


def _preview_publish(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_publish_now(row=item)
    return badge(Status.PUBLISHED, Status.PUBLISHED.label)


def _preview_unpublish(item: Schedulable, form: ReasonForm, now: datetime) -> str:
    operations.check_unpublish_now(row=item)
    return badge(Status.UNPUBLISHED, Status.UNPUBLISHED.label)


def _preview_rerun(row: Any, form: ReasonForm, now: datetime) -> str:
    operations.check_rerun(job=_failed_job(row))
    return gettext("runs again")


def _failed_job(row: Any) -> Job:
    if isinstance(row, Job):
        return row
    failed = Job.objects.of(row).filter(state=State.FAILED).order_by("-pk").first()
    if failed is None:
        raise operations.JobNotFound(gettext("It has no failed job."))
    return failed


def _preview_cancel_job(job: Job, form: ReasonForm, now: datetime) -> str:
    operations.check_cancel(job=job)
    return badge(State.CANCELLED, State.CANCELLED.label)


SCHEDULE = Bulk(
    "schedule_selected", _("Schedule at a time"), "schedule", _preview_time, form=MomentForm
)
SHIFT = Bulk(
    "shift_selected", _("Shift by an interval"), "schedule", _preview_time, form=IntervalForm
)


def _of_button(action: Action, parameter: str, preview: Preview, **options: Any) -> Bulk:
    """Return the action that does to each row what a button does: to it, or to its failed job."""

    def operation(row: Any, **arguments: Any) -> object:
        target = _failed_job(row) if parameter == "job" else row
        return action.operation(**{parameter: target}, **arguments)

    name = f"{action.name}_selected"
    return Bulk(name, action.label, action.right, preview, operation, **options)


BUTTONS = {action.name: action for action in ACTIONS}
JOB_BUTTONS = {action.name: action for action in JOB_ACTIONS}

CANCEL = _of_button(BUTTONS["cancel"], "item", _preview_cancel)
PUBLISH = _of_button(BUTTONS["publish"], "item", _preview_publish)
UNPUBLISH = _of_button(BUTTONS["unpublish"], "item", _preview_unpublish)
RERUN = _of_button(JOB_BUTTONS["rerun"], "job", _preview_rerun, previewed=PREVIEWED)
RERUN_JOBS = replace(RERUN, most=MOST_JOBS_AT_ONCE)
CANCEL_JOBS = _of_button(JOB_BUTTONS["cancel"], "job", _preview_cancel_job, most=MOST_JOBS_AT_ONCE)


# Carrying it out: what is returned was refused


class TooMany(DomainError):
    """There was no time left for it. Do the same again."""

    code = "too_many"


def _require_right(user: Any, right: str, row: Any) -> None:
    if isinstance(row, Job) and not has_right_to(user, right, row):
        raise NotAllowed


def _each(bulk: Bulk, rows: Mapping[Any, Seen], form: ReasonForm, user: Any) -> Refusals:
    """Call the operation for each row, while there is time."""
    assert bulk.operation is not None
    refused: Refusals = {}
    deadline = monotonic() + PATIENCE_SECONDS
    for row, expected in rows.items():
        try:
            if monotonic() > deadline:
                raise TooMany
            _require_right(user, bulk.right, row)
            bulk.operation(row, by=user, reason=form.cleaned_data["reason"], expected=expected)
        except DomainError as refusal:
            refused[row] = refusal
    return refused


def _schedule(items: Mapping[Schedulable, Seen], form: ReasonForm, user: Any) -> Refusals:
    """Schedule the items of each time together, while there is time."""
    by_time: dict[datetime, list[Schedulable]] = defaultdict(list)
    refused: Refusals = {}
    for item in items:
        try:
            by_time[_time(item, form)].append(item)
        except DomainError as refusal:
            refused[item] = refusal
    deadline = monotonic() + PATIENCE_SECONDS
    for run_at, left in by_time.items():
        if monotonic() > deadline:
            refused |= dict.fromkeys(left, TooMany())
            continue
        reason = form.cleaned_data["reason"]
        options = {"by": user, "reason": reason, "expected": items, "zone": form.zone()}
        refused |= _schedule_together(left, run_at=run_at, **options)
    return refused


def _schedule_together(left: list[Schedulable], **options: Any) -> Refusals:
    refused: Refusals = {}
    while left:
        try:
            operations.schedule_many(items=left, **options)
        except operations.SomeRefused as some:
            refused |= some.refusals
            left = [item for item in left if item not in some.refusals]
        except DomainError as refusal:
            return refused | dict.fromkeys(left, refusal)
        else:
            break
    return refused


# The page


def ask(
    model_admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any], bulk: Bulk
) -> HttpResponse | None:
    """
    Say what would happen to the selected rows, in the order of their times; do it once confirmed.

    :returns: the page; None sends the person back to the list.
    """
    ids = _confirmed_ids(request)
    if ids is None:
        ids = list(rows.order_by().values_list("pk", flat=True)[: bulk.most + 1])
    if len(ids) > bulk.most:
        text = gettext("At most %(count)d at once: narrow the list by its filters.")
        messages.error(request, text % {"count": bulk.most})
        return None
    # Whole rows: the checks read the text, which the list does not. Never more than they may see.
    order = "run_at" if model_admin.model is Job else "publish_at"
    found = model_admin.get_queryset(request).filter(IsOneOf("pk", ids))
    chosen = list(found.order_by(order, "pk"))
    is_first = ROWS not in request.POST
    form = bulk.form() if is_first else bulk.form(request.POST)
    has_required = any(field.required for field in bulk.form.base_fields.values())
    is_ready = not has_required if is_first else form.is_valid()
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


def _confirmed_ids(request: HttpRequest) -> list[int] | None:
    """Return the primary keys of the rows on the page before."""
    try:
        ids = json.loads(request.POST[ROWS])
    except (KeyError, ValueError, RecursionError):
        return None
    if not isinstance(ids, list):
        return None
    # Not isinstance: true and false are numbers to it.
    return [pk for pk in ids if type(pk) is int and 0 < pk <= MAX_ID]


def _names(row: Any) -> tuple[str, ...]:
    return OF_JOB if isinstance(row, Job) else TEXT


def _requested(form: ReasonForm) -> str:
    """Return what the form says is to be done, to compare; the reason does not count."""
    return json.dumps({**form.cleaned_data, "reason": ""}, default=str, sort_keys=True)


def _seen(request: HttpRequest, form: ReasonForm) -> dict[str, Any] | None:
    """Return the rows as the page before has shown them; None if its form said something else."""
    try:
        seen = json.loads(request.POST[SEEN])
        rows = seen["rows"] if seen["requested"] == _requested(form) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return rows if isinstance(rows, dict) else None


def _preview(bulk: Bulk, rows: Iterable[Any], form: ReasonForm, user: Any) -> list[Plan]:
    now = clock.database_now()
    plans = []
    for row in rows:
        try:
            _require_right(user, bulk.right, row)
            plans.append(Plan(row, _shown(row), then=bulk.preview(row, form, now)))
        except DomainError as refusal:
            plans.append(Plan(row, _shown(row), refusal=refusal))
    return plans


def _do(
    request: HttpRequest, bulk: Bulk, rows: Sequence[Any], form: ReasonForm, seen: Mapping[str, Any]
) -> None:
    """
    Do it to the rows for which the page has said so, and say what was refused.

    :param seen: how the page has shown those, by primary key.
    """
    promised = {
        row: expect(row, unpacked(seen[str(row.pk)], _names(row)))
        for row in rows
        if str(row.pk) in seen
    }
    others = [row for row in rows if row not in promised]
    # If nothing is in the way now, something was when the page was made.
    refused: Refusals = {row: operations.ChangedMeanwhile(row) for row in others}
    for plan in _preview(bulk, others[: bulk.previewed], form, request.user):
        if plan.refusal is not None:
            refused[plan.row] = plan.refusal
    if bulk.operation is None:
        refused |= _schedule(promised, form, request.user)
    else:
        refused |= _each(bulk, promised, form, request.user)
    done = len(rows) - len(refused)
    said = ngettext("%(count)d done.", "%(count)d done.", done) % {"count": done}
    report(request, bulk.label, said if done else "", reasons(refused))


def reasons(refused: Mapping[Any, DomainError]) -> dict[str, list[str]]:
    """Return titles of refused rows by the reason; query who has changed them, if that is it."""
    titles: dict[str, list[str]] = defaultdict(list)
    for place, (row, refusal) in enumerate(refused.items()):
        why = _why(refusal, row) if place < NAMED else str(refusal)
        titles[why].append((row.item_title or str(row)) if isinstance(row, Job) else str(row))
    return titles


def _why(refusal: DomainError, row: Any) -> str:
    """Return why a row was refused; if it was changed, query by whom."""
    if not isinstance(refusal, operations.ChangedMeanwhile):
        return str(refusal)
    return gettext("It was changed meanwhile, by %(who)s.") % {"who": last_change_by(row)}


def _shown_of(allowed: Sequence[Plan], not_previewed: Sequence[Any], form: ReasonForm) -> str:
    rows = [*(plan.row for plan in allowed), *not_previewed]
    shown = {row.pk: packed(row, _names(row)) for row in rows}
    return json.dumps({"requested": _requested(form), "rows": shown})


def _page(
    model_admin: ModelAdmin,
    request: HttpRequest,
    bulk: Bulk,
    rows: Sequence[Any],
    form: ReasonForm,
    plans: Sequence[Plan],
    is_ready: bool,
) -> HttpResponse:
    allowed = [plan for plan in plans if plan.refusal is None]
    refused = [plan for plan in plans if plan.refusal is not None]
    chosen = [] if is_ready else [Plan(row, _shown(row)) for row in rows[:SHOWN]]
    parts = (
        ("refused", refused, len(refused)),
        ("allowed", allowed, len(allowed)),
        ("chosen", chosen, len(rows)),
    )
    not_previewed = max(len(rows) - bulk.previewed, 0) if is_ready else 0
    context = {
        **model_admin.admin_site.each_context(request),
        "title": bulk.label,
        "subtitle": model_admin.opts.verbose_name_plural,
        "opts": model_admin.opts,
        "bulk": bulk,
        "form": form,
        "rows": json.dumps([row.pk for row in rows]),
        "seen": _shown_of(allowed, rows[bulk.previewed :], form) if is_ready else "",
        "count": len(rows),
        "is_ready": is_ready,
        "can_do": len(allowed) + not_previewed,
        "not_previewed": not_previewed,
        "parts": [
            {"name": name, "plans": part[:SHOWN], "count": count, "more": max(count - SHOWN, 0)}
            for name, part, count in parts
            if part
        ],
        "back": request.get_full_path(),
    }
    status = 422 if form.is_bound and not is_ready else 200
    return TemplateResponse(request, "scheduling/bulk.html", context, status=status)
