"""How a row shows its times, its status and its item, in lists and on pages."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Field, Model
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.models import Schedulable, Status

Text = str | Promise

UNITS = (
    (86400, gettext_noop("%(number)d d")),
    (3600, gettext_noop("%(number)d h")),
    (60, gettext_noop("%(number)d min")),
    (1, gettext_noop("%(number)d s")),
)


def verbose_name(model: type[Model], name: str) -> Text:
    """Return what a field is called on screen."""
    field = model._meta.get_field(name)
    assert isinstance(field, Field)  # not the far end of a relation
    return field.verbose_name


def shown_time(at: datetime) -> str:
    """Return a time to the second, in the current time zone."""
    day, time = date_format(timezone.localtime(at), "Y-m-d H:i:s").split()
    # A narrow column breaks between the two, not inside them.
    return format_html(
        '<time datetime="{}" class="armo-time"><span>{}</span> <span>{}</span></time>',
        at.isoformat(),
        day,
        time,
    )


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
    """Return a status or a state as a coloured word."""
    return format_html('<span class="armo-badge armo-{}">{}</span>', value, label)


def change_url(model: type[Model], pk: object) -> str:
    """Return the address of a row's page in the admin."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


# Distances


def duration(length: timedelta) -> str:
    """Return a length of time in its two largest units, as `3 h 12 min`."""
    left = max(round(length.total_seconds()), 0)
    parts: list[str] = []
    for seconds, unit in UNITS:
        number, left = divmod(left, seconds)
        if number or (seconds == 1 and not parts):
            parts.append(_(unit) % {"number": number})
        elif parts:
            break  # `2 d 4 s` would look as if it were exact
    return " ".join(parts[:2])


def distance(at: datetime, now: datetime) -> str:
    """Return how far a time lies ahead, or back."""
    if at > now:
        return _("in %(time)s") % {"time": duration(at - now)}
    return _("%(time)s ago") % {"time": duration(now - at)}


def due_in(item: Schedulable, now: datetime) -> str:
    """Return in how long something happens to an item, or by how much it is late; or nothing."""
    at, end = item.publish_at, item.unpublish_at
    if item.status == Status.SCHEDULED and at is not None:
        if at > now:
            return format_html('<span class="armo-due">{}</span>', distance(at, now))
        late = _("late by %(time)s") % {"time": duration(now - at)}
        return format_html('<span class="armo-due armo-late">{}</span>', late)
    if item.status == Status.FAILED and at is not None:
        wanted = _("wanted %(when)s") % {"when": distance(at, now)}
        return format_html('<span class="armo-due armo-late">{}</span>', wanted)
    if item.is_published and end is not None:
        ends = _("ends %(when)s") % {"when": distance(end, now)}
        return format_html('<span class="armo-due">{}</span>', ends)
    return ""
