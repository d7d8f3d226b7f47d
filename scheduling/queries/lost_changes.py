"""
Changes that a log has and the database does not know, and what to do about each.

After a failover to a standby that had not received everything, or a restore from a backup, readers
have seen changes of which the database has no trace.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connection

from scheduling.models import TRANSITIONS, LedgerStart, Status, schedulable_models
from scheduling.models.times import utc
from scheduling.queries.publish_logs import Logged
from scheduling.queue.sql_files import read_statements

SQL = read_statements(__name__)
BATCH = 5000

# What is known of a lost change, for programs.
DONE_AGAIN = "done_again"
SUPERSEDED = "superseded"
AS_LOGGED = "as_logged"
SCHEDULED = "scheduled"
FAILED = "failed"
NO_ITEM = "no_item"
TO_BE_REPEATED = "to_be_repeated"
# Of these, nobody has to do anything.
SETTLED = (DONE_AGAIN, SUPERSEDED, AS_LOGGED, SCHEDULED)


class LostChange(NamedTuple):
    """A change that was logged, and of which the ledger has no trace."""

    logged: Logged
    # One of the codes above.
    found: str
    advice: str


@dataclass
class Comparison:
    """
    Logged changes, compared with the ledger.

    The ledger knows a change by its item, its kind and its moment, which the log has from the same
    transaction; what has become of the item since does not matter. Memory grows with the changes
    that are lost, not with those that are compared.
    """

    begins: datetime | None = field(default_factory=LedgerStart.find)
    known: int = 0
    # From before the ledger begins, so that nothing can be said of them.
    pruned: int = 0
    # Each once: a line may be in several files.
    lost: dict[tuple[str, str, datetime], Logged] = field(default_factory=dict)

    def add(self, changes: Sequence[Logged]) -> None:
        """Compare more changes; some thousand at once take the least time."""
        unknown = _unknown(changes)
        self.known += len(changes) - len(unknown)
        for change in unknown:
            if self.begins and change.at < self.begins:
                self.pruned += 1
            else:
                self.lost.setdefault((change.item, change.status, change.at), change)

    def examine(self) -> Iterator[LostChange]:
        """Query what has become of each lost change, the oldest first."""
        lost = sorted(self.lost.values(), key=lambda change: change.at)
        last = {change.item: change for change in lost}
        for start in range(0, len(lost), BATCH):
            yield from _examine(lost[start : start + BATCH], last)


def _unknown(batch: Sequence[Logged]) -> list[Logged]:
    with connection.cursor() as cursor:
        cursor.execute(SQL["unknown"], _params(batch))
        return [batch[place - 1] for (place,) in cursor.fetchall()]


def _params(batch: Sequence[Logged]) -> dict[str, Any]:
    types: dict[str, list[str]] = defaultdict(list)
    for pk, model in ContentType.objects.values_list("pk", "model"):
        types[model].append(str(pk))
    outcomes: dict[str, list[str]] = defaultdict(list)
    for name, transition in TRANSITIONS.items():
        outcomes[str(transition.leads_to or name)].append(name)
    items = [change.item.split(":") for change in batch]
    return {
        # More than one, if two applications have a type of that name.
        "types": [",".join(types[name]) for name, _ in items],
        "items": [int(pk) for _, pk in items],
        "kinds": [",".join(outcomes.get(it.status, [it.status])) for it in batch],
        "from": [change.at for change in batch],
        "until": [change.until for change in batch],
        "changing": [name for name, it in TRANSITIONS.items() if it.leads_to],
    }


def _examine(lost: Sequence[Logged], last: Mapping[str, Logged]) -> Iterator[LostChange]:
    with connection.cursor() as cursor:
        cursor.execute(SQL["since"], _params(lost))
        since = [_Since(*row) for row in cursor.fetchall()]
    statuses = _statuses(lost)
    for change, found in zip(lost, since, strict=True):
        status = statuses.get(change.item)
        yield LostChange(change, *_advise(change, status, found, last[change.item]))


class _Since(NamedTuple):
    """What the ledger has of an item after a change that it does not know."""

    done_at: datetime | None
    changed_at: datetime | None
    open_id: int | None
    open_at: datetime | None
    failed_id: int | None


def _statuses(changes: Sequence[Logged]) -> dict[str, str]:
    """Query the present status of each item that there is."""
    ids: dict[str, list[int]] = defaultdict(list)
    for change in changes:
        name, _, pk = change.item.partition(":")
        ids[name].append(int(pk))
    return {
        f"{name}:{pk}": status
        for model in schedulable_models()
        if (name := str(model._meta.model_name)) in ids
        for pk, status in model._base_manager.filter(pk__in=ids[name]).values_list("pk", "status")
    }


def _advise(change: Logged, status: str | None, since: _Since, last: Logged) -> tuple[str, str]:
    """
    Return what is known of a lost change, and what to do about it.

    :param status: of the item, as it is; None if there is none.
    :param last: the last lost change of the item.
    """
    if since.done_at:
        return DONE_AGAIN, f"It was done again at {_time(since.done_at)}: nothing to do."
    if since.changed_at:
        return SUPERSEDED, f"It was changed again at {_time(since.changed_at)}: nothing to do."
    if last.at > change.at:
        return (
            SUPERSEDED,
            f"It was {last.status} at {_time(last.at)}, which is lost too: see there.",
        )
    is_live = status == Status.PUBLISHED
    if change.status == (Status.PUBLISHED if is_live else Status.UNPUBLISHED):
        return AS_LOGGED, f"Readers {'see it' if is_live else 'do not see it'}: nothing to do."
    if since.open_id and since.open_at:
        what = f"Job {since.open_id}, due at {_time(since.open_at)}, does it again"
        return SCHEDULED, f"{what}: nothing to do."
    if since.failed_id:
        return (
            FAILED,
            f"The job that was to do it again has failed: manage.py rerun {since.failed_id}.",
        )
    if status is None:
        return NO_ITEM, "There is no such item: if nobody has deleted it, make it again."
    return (
        TO_BE_REPEATED,
        f"It is {status}: have it {change.status} again, in the admin or the API.",
    )


def _time(at: datetime) -> str:
    return utc(at, "milliseconds")
