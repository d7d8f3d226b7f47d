"""The admin's history of a row, also by people whose accounts were deleted."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from armo.accounts.models import KeptLogEntry

if TYPE_CHECKING:
    from armo.common.theme import ModelAdmin as Base
else:
    Base = object

ENTRIES_A_PAGE = 100

COLUMNS = "content_type_id, object_id, object_repr, action_time, action_flag, change_message"


def keep_log_entries(instance: Any, using: str, **kwargs: Any) -> None:
    """Copy what a user has done in the admin, in the transaction that deletes their account."""
    model = get_user_model()
    meta, quote = model._meta, connections[using].ops.quote_name
    name = quote(str(meta.get_field(model.USERNAME_FIELD).column))  # type: ignore[union-attr]
    statement = (
        f"INSERT INTO {KeptLogEntry._meta.db_table} ({COLUMNS}, user_name)"  # noqa: S608 (names)  # nosec B608
        f" SELECT {COLUMNS}, person.{name}::text FROM {LogEntry._meta.db_table} AS entry"
        f" JOIN {quote(meta.db_table)} AS person"
        f" ON person.{quote(str(meta.pk.column))} = entry.user_id"
        " WHERE entry.user_id = %s AND content_type_id IS NOT NULL AND object_id IS NOT NULL"
        " ORDER BY entry.id"
    )
    with connections[using].cursor() as cursor:
        cursor.execute(statement, [instance.pk])


def log_entries(row: Model, *, most: int | None = None, **filters: Any) -> list[LogEntry]:
    """
    Query what the admin has logged of a row, the newest first.

    :param most: no more than these are read; None is all.
    """
    of_row = {
        "content_type": ContentType.objects.get_for_model(row),
        "object_id": str(row.pk),
        **filters,
    }
    logged = LogEntry.objects.filter(**of_row).select_related("user")
    kept = KeptLogEntry.objects.filter(**of_row)
    newest = ("-action_time", "-pk")
    entries = list(logged.order_by(*newest)[:most])
    entries += [it.as_log_entry() for it in kept.order_by(*newest)[:most]]
    return sorted(entries, key=attrgetter("action_time"), reverse=True)[:most]


def newest_log_entry(row: Model) -> LogEntry | None:
    """Query the last line that the admin has logged of a row."""
    return next(iter(log_entries(row, most=1)), None)


class HistoryOfAll(Base):
    """For an admin class: a history that knows people whose accounts were deleted."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, Any]]]:
        """Name fields as the catalogue has them: Django capitalises them, and finds no Korean."""
        entries: list[dict[str, dict[str, Any]]] = super().construct_change_message(
            request, form, formsets, add
        )
        for entry in entries:
            changed = entry.get("changed", {})
            if "fields" in changed:
                changed["fields"] = [name[:1].lower() + name[1:] for name in changed["fields"]]
        return entries

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the history, the oldest first."""
        row = self.get_object(request, unquote(object_id))
        entries = [] if row is None else log_entries(row)[::-1]
        paginator = self.get_paginator(request, entries, ENTRIES_A_PAGE)  # type: ignore[arg-type]
        page = paginator.get_page(request.GET.get(PAGE_VAR, 1))
        shown = {
            "action_list": page,
            "page_range": paginator.get_elided_page_range(page.number),
            "pagination_required": paginator.count > ENTRIES_A_PAGE,
        }
        return super().history_view(request, object_id, {**shown, **(extra_context or {})})
