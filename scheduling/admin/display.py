"""How lists and pages show times, statuses and links."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from operator import itemgetter
from typing import Any

from django.contrib import admin
from django.db.models import Field, Model
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from scheduling.models import TRANSITIONS, Schedulable, Transition, mirrored
from scheduling.models.times import distance, duration

Text = str | Promise


def verbose_name(model: type[Model], name: str) -> Text:
    """Return the name of a field on screen."""
    field = model._meta.get_field(name)
    assert isinstance(field, Field)  # not the far end of a relation
    return field.verbose_name


def shown_time(at: datetime) -> str:
    """Return a time to the second, in the current time zone."""
    day, clock = date_format(timezone.localtime(at), "Y-m-d H:i:s").split()
    # A narrow column breaks between the two, not inside them.
    return format_html(
        '<time datetime="{}" class="armo-time"><span>{}</span> <span>{}</span></time>',
        at.isoformat(),
        day,
        clock,
    )


def start_of(day: date) -> datetime:
    """Return when a day begins in the current time zone; if that is skipped, when it is skipped."""
    return datetime.combine(day, time.min, tzinfo=timezone.get_current_timezone())


def shown_day(day: date) -> str:
    """Return a day with its weekday, as `Fri 27 Nov`."""
    return date_format(day, pgettext("format of a day", "D j M"))


def shown_clock(local: datetime) -> str:
    """Return a local time to the minute; with its zone on a day on which the clocks change."""
    next_day = start_of(local.date() + timedelta(days=1))
    is_changing = start_of(local.date()).utcoffset() != next_day.utcoffset()
    return f"{local:%H:%M} {local:%Z}" if is_changing else f"{local:%H:%M}"


def shown_moment(at: datetime) -> str:
    """Return a time with its day, in the current time zone, as `Fri 27 Nov, 10:00`."""
    local = timezone.localtime(at)
    return f"{shown_day(local.date())}, {shown_clock(local)}"


def time_column(model: type[Model], name: str) -> Callable[[Any], str]:
    """Return a column that shows a time to the second, in the current time zone."""

    @admin.display(
        description=verbose_name(model, name),  # type: ignore[arg-type]  # it wants the stubs' own lazy text
        ordering=name,
    )
    def column(row: Model) -> str:
        at = getattr(row, name)
        return "-" if at is None else shown_time(at)

    column.__name__ = name  # the admin makes a CSS class of it
    return column


def badge(value: str, label: Text) -> str:
    """Return a status or a state as a coloured badge."""
    return format_html('<span class="armo-badge armo-{}">{}</span>', value, label)


def change_url(model: type[Model], pk: object) -> str:
    """Return the address of a row's page in the admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def due_in(item: Schedulable, now: datetime) -> str:
    """Return how long until an item changes, or how late it is; nothing if no change is due."""
    if asked := times_asked(item):
        at, transition = asked[0]
        is_end = any(it.ended_by == transition.name for it in TRANSITIONS.values())
        if is_end or at > now:
            when = distance(at, now)
            text = _("ends %(when)s") % {"when": when} if is_end else when
            return format_html('<span class="armo-due">{}</span>', text)
        late = _("late by %(time)s") % {"time": duration(now - at)}
        return format_html('<span class="armo-due armo-late">{}</span>', late)
    for transition in mirrored():
        at = getattr(item, str(transition.time_field))
        if item.status == transition.on_failure and at is not None:
            due = _("was due %(when)s") % {"when": distance(at, now)}
            return format_html('<span class="armo-due armo-late">{}</span>', due)
    return ""


def times_asked(item: Schedulable) -> list[tuple[datetime, Transition]]:
    """Return the times at which an item asks to be changed, the next first, and the changes."""
    asked = [(at, it) for it in mirrored() if (at := it.asked_at(item)) is not None]
    return sorted(asked, key=itemgetter(0))
