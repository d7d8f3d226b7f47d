"""How a row shows its times, its status and its item, in lists and on pages."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Field, Model
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _

from scheduling.models import Schedulable, Status
from scheduling.models.times import distance, duration

Text = str | Promise


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
