"""What a page has shown of a row: sent along by its buttons, and named in words when it is old."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext

from scheduling.admin.display import change_url
from scheduling.admin.edit_conflicts import digest
from scheduling.models import Job, JobEvent, Schedulable
from scheduling.operations import Seen

# What an operation compares. Who sets a time has looked at the times: a colleague who mends the
# text meanwhile is not in the way, what is saved last goes live. Who has readers see a text now, or
# not see it any more, has read it.
TIMES = ("status", "publish_at", "unpublish_at")
TEXT = ("version",)
OF_JOB = ("state", "run_at", "finished_at")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Page(NamedTuple):
    """The text of an item that a page shows, which is not made anew when its panel is."""

    version: int
    text: str


def page_of(item: Schedulable) -> Page:
    """Query what a page shows that is made now."""
    return Page(item.version, text_sign(item))


def text_sign(item: Schedulable) -> str:
    """Query a sign of what an item says."""
    words = [
        list(getattr(item, field.name).order_by("pk").values_list("pk", flat=True))
        for field in item._meta.many_to_many
    ]
    fields = [field for field in item._meta.concrete_fields if field.editable]
    return digest([words, *(field.value_from_object(item) for field in fields)])


def packed(row: Any, names: Sequence[str]) -> list[Any]:
    """Return fields of a row as JSON has them; a time is in microseconds."""
    values = (getattr(row, name) for name in names)
    return [
        (value - EPOCH) // MICROSECOND if isinstance(value, datetime) else value for value in values
    ]


def unpacked(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return fields by name; of what is malformed, such as no row has."""
    try:
        return {
            name: EPOCH + value * MICROSECOND if name.endswith("_at") and value else value
            for name, value in zip(names, values, strict=True)
        }
    except (TypeError, ValueError, OverflowError):
        return dict.fromkeys(names)


def expect(row: Any, fields: Mapping[str, Any]) -> Seen:
    """Return what an operation on a row, or on an item's job, has to find."""
    return Seen.job(**fields) if isinstance(row, Job) else Seen(**fields)


def signed(row: Any, page: Page | None = None) -> str:
    """
    Return what a page shows of a row, for its buttons to send along.

    :param page: of an item: the text that it shows.
    """
    if isinstance(row, Job):
        return json.dumps(packed(row, OF_JOB))
    page = page or page_of(row)
    return json.dumps([page.version, *packed(row, TIMES), page.text])


def read(seen: str, row: Any) -> dict[str, Any]:
    """Return the fields that `signed` has put together; of a text that is none, what no row has."""
    names = OF_JOB if isinstance(row, Job) else (*TEXT, *TIMES, "text")
    try:
        values = json.loads(seen)
    except (ValueError, RecursionError):
        values = None
    return unpacked(values, names)


# In words


def last_change_by(row: Any) -> str:
    """Query who has changed an item, its text or its times, or a job, last."""
    event = last_event(row)
    if isinstance(row, Job):
        return _by(event)
    entry = _last_entry(row)
    if entry is None or (event is not None and event.at > entry.action_time):
        return gettext("somebody else") if event is None else _by(event)
    return _name(entry)


def last_event(row: Any) -> JobEvent | None:
    """Query the newest line in the history of a job, or of an item's jobs."""
    jobs = Job.objects.filter(pk=row.pk) if isinstance(row, Job) else Job.objects.of(row)
    events = JobEvent.objects.filter(job__in=jobs).select_related("by")
    return events.order_by("-at", "-pk").first()


def _last_entry(item: Schedulable) -> LogEntry | None:
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(item), object_id=str(item.pk)
    )
    return entries.select_related("user").order_by("-action_time", "-pk").first()


def _by(event: JobEvent | None) -> str:
    return str(event.by) if event is not None and event.by else gettext("the publisher")


def _name(entry: LogEntry | None) -> str:
    if entry is None:
        # In a shell, or by an import: nobody has written down who.
        return gettext("somebody else")
    return entry.user.get_full_name() or entry.user.get_username()


def described(row: Any, seen: Mapping[str, Any]) -> str:
    """Query what is said of a row that is not what a page has shown: what changed, and by whom."""
    who = _by(last_event(row))
    if isinstance(row, Job):
        if seen["state"] == row.state:
            text = gettext("The job was moved meanwhile, by %(who)s. Look at it, and press again.")
            return text % {"who": who}
        return gettext(
            "The job was changed meanwhile, by %(who)s: it is %(state)s now. Look at it, and press"
            " again."
        ) % {"state": row.get_state_display(), "who": who}
    said = []
    # A page from before an update of Armo sends something else.
    if seen["version"] is not None:
        if seen["status"] != row.status:
            text = gettext(
                "The status was changed meanwhile, by %(who)s: it is %(status)s now. Look at it,"
                " and press again."
            )
            said.append(text % {"status": row.get_status_display(), "who": who})
        elif any(seen[name] != getattr(row, name) for name in TIMES):
            text = gettext(
                "The times were changed meanwhile, by %(who)s. Look at them, and press again."
            )
            said.append(text % {"who": who})
        if seen["text"] != text_sign(row):
            said.append(_described_text(row))
    if not said:
        # Or it was changed, and changed back.
        text = gettext("It was changed meanwhile, by %(who)s. Look at it, and press again.")
        said.append(text % {"who": last_change_by(row)})
    return format_html_join(" ", "{}", ((sentence,) for sentence in said))


def _described_text(item: Schedulable) -> str:
    text = gettext("The text was changed meanwhile, by %(who)s. Read it before you press again.")
    return format_html(
        '{} <a href="{}" target="_blank" rel="noopener">{}</a>',
        text % {"who": _name(_last_entry(item))},
        change_url(type(item), item.pk),
        gettext("Show it as it is now"),
    )
