"""How lists and pages show times, statuses and links."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
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

from scheduling.models import Schedulable, Status
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
    at, end = item.publish_at, item.unpublish_at
    if item.status == Status.SCHEDULED and at is not None:
        if at > now:
            return format_html('<span class="armo-due">{}</span>', distance(at, now))
        late = _("late by %(time)s") % {"time": duration(now - at)}
        return format_html('<span class="armo-due armo-late">{}</span>', late)
    if item.status == Status.FAILED and at is not None:
        wanted = _("was due %(when)s") % {"when": distance(at, now)}
        return format_html('<span class="armo-due armo-late">{}</span>', wanted)
    if item.is_published and end is not None:
        ends = _("ends %(when)s") % {"when": distance(end, now)}
        return format_html('<span class="armo-due">{}</span>', ends)
    return ""
