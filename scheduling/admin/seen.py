"""What a page has shown of a row, which its buttons send; and what has changed on an old page."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext

from armo.accounts.history import newest_log_entry
from scheduling.admin.display import change_url, shown_moment
from scheduling.admin.edit_conflicts import digest, name_of_author
from scheduling.models import Job, JobEvent, Pause, Schedulable
from scheduling.operations import Seen

# What an operation compares. A button that sets a time goes by the times: a change of the text
# meanwhile does not matter, the last one saved goes live. A button that publishes a text now, or
# takes it down, goes by the text.
TIMES = ("status", "publish_at", "unpublish_at")
TEXT = ("version",)
OF_JOB = ("state", "run_at", "finished_at")
OF_PAUSE = ("paused_at",)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Page(NamedTuple):
    """The text of an item that a page shows; it stays when the panel beside it is refreshed."""

    version: int
    text: str


def page_of(item: Schedulable) -> Page:
    """Query what a page that is made now shows."""
    return Page(item.version, text_sign(item))


def text_sign(item: Schedulable) -> str:
    """Query a hash of an item's text, and of the rows that it is joined to."""
    joined = [
        list(getattr(item, field.name).order_by("pk").values_list("pk", flat=True))
        for field in item._meta.many_to_many
    ]
    fields = [field for field in item._meta.concrete_fields if field.editable]
    return digest([joined, *(field.value_from_object(item) for field in fields)])


def packed(row: Any, names: Sequence[str]) -> list[Any]:
    """Return fields of a row for JSON; a time is in microseconds since the epoch."""
    values = (getattr(row, name) for name in names)
    return [(it - EPOCH) // MICROSECOND if isinstance(it, datetime) else it for it in values]


def unpacked(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return fields by name; None for each, which no row has, if the values are malformed."""
    try:
        return {
            name: EPOCH + value * MICROSECOND if name.endswith("_at") and value else value
            for name, value in zip(names, values, strict=True)
        }
    except (TypeError, ValueError, OverflowError):
        return dict.fromkeys(names)


def expect(row: Any, fields: Mapping[str, Any]) -> Seen:
    """Return what an operation on an item or a job is to find there."""
    return Seen.job(**fields) if isinstance(row, Job) else Seen(**fields)


def signed(row: Any, page: Page | None = None) -> str:
    """
    Return what a page shows of a row, for its buttons to send.

    :param page: the text that it shows; of an item only.
    """
    if isinstance(row, Job):
        return json.dumps(packed(row, OF_JOB))
    if isinstance(row, Pause):
        return json.dumps(packed(row, OF_PAUSE))
    page = page or page_of(row)
    return json.dumps([page.version, *packed(row, TIMES), page.text])


def read(seen: str, row: Any) -> dict[str, Any]:
    """Return the fields that `signed` has packed; None for each if it has not packed this."""
    names: Sequence[str] = (*TEXT, *TIMES, "text")
    if isinstance(row, Job | Pause):
        names = OF_JOB if isinstance(row, Job) else OF_PAUSE
    try:
        values = json.loads(seen)
    except (ValueError, RecursionError):
        values = None
    return unpacked(values, names)


# What has changed, as a sentence


def last_change_by(row: Any) -> str:
    """Query who was the last to change a job, or an item: its text or its times."""
    event = _last_event(row)
    entry = None if isinstance(row, Job) else newest_log_entry(row)
    is_logged_last = entry and (event is None or event.at <= entry.action_time)
    if is_logged_last or (event is None and not isinstance(row, Job)):
        return name_of_author(entry)
    return _who(event)


def _who(event: JobEvent | None) -> str:
    return event.who if event else gettext("the publisher")


def _last_event(row: Any) -> JobEvent | None:
    """Query the newest line in the history of a job, or of an item's jobs."""
    jobs = Job.objects.filter(pk=row.pk) if isinstance(row, Job) else Job.objects.of(row)
    events = JobEvent.objects.filter(job__in=jobs).select_related("by", "job")
    return events.order_by("-at", "-pk").first()


def described(row: Any, seen: Mapping[str, Any]) -> str:
    """Query what changed, and by whom, in a row that is not as a page has shown it."""
    if isinstance(row, Pause):
        text = gettext(
            "Publishing was resumed meanwhile, and paused again by %(who)s. Look at the reason, and"
            " press again."
        )
        return text % {"who": row.who}
    event = _last_event(row)
    who = _who(event)
    if isinstance(row, Job):
        if seen["run_at"] and seen["run_at"] != row.run_at:
            text = gettext(
                "The job was moved meanwhile, by %(who)s: it runs at %(time)s now. Look at it, and"
                " press again."
            )
            return text % {"who": who, "time": shown_moment(row.run_at)}
        return gettext(
            "The job was changed meanwhile, by %(who)s: it is %(state)s now. Look at it, and press"
            " again."
        ) % {"state": row.get_state_display(), "who": who}
    sentences = []
    # A page from before an update of Armo sends something else.
    if seen["version"] is not None:
        if seen["status"] != row.status:
            text = gettext(
                "The status was changed meanwhile, by %(who)s: it is %(status)s now. Look at it,"
                " and press again."
            )
            sentences.append(text % {"status": row.get_status_display(), "who": who})
        elif any(seen[name] != getattr(row, name) for name in TIMES):
            text = gettext(
                "The times were changed meanwhile, by %(who)s. Look at them, and press again."
            )
            sentences.append(text % {"who": who})
        if seen["text"] != text_sign(row):
            sentences.append(_described_text(row))
    if not sentences:
        # Or it was changed, and changed back.
        text = gettext("It was changed meanwhile, by %(who)s. Look at it, and press again.")
        sentences.append(text % {"who": last_change_by(row)})
    return format_html_join(" ", "{}", ((sentence,) for sentence in sentences))


def _described_text(item: Schedulable) -> str:
    text = gettext("The text was changed meanwhile, by %(who)s. Read it before you press again.")
    return format_html(
        '{} <a href="{}" target="_blank" rel="noopener">{}</a>',
        text % {"who": name_of_author(newest_log_entry(item))},
        change_url(type(item), item.pk),
        gettext("Show it as it is now"),
    )
