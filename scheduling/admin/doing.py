"""Calling operations for a person, and telling how it went."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import ngettext

from armo.errors import DomainError
from scheduling.admin.columns import Text
from scheduling.admin.forms import ReasonForm
from scheduling.models import Job

TITLES_SHOWN = 5


def carry_out(
    request: HttpRequest, form: ReasonForm, operation: Callable[..., Job], done: Text
) -> None:
    """Call an operation with what was filled in, and tell the person how it went."""
    if not form.is_valid():
        for name, errors in form.errors.items():
            for error in errors:
                messages.error(request, f"{form.fields[name].label}: {error}")
        return
    try:
        operation(by=request.user, **form.wish())
    except DomainError as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, str(done))


def on_each(
    request: HttpRequest,
    rows: QuerySet[Any],
    operation: Callable[[Any], object],
    label: Text,
    *,
    title: Callable[[Any], str],
    count: Callable[[int], str],
) -> None:
    """
    Call the operation for each row; tell what was refused, and why, once a reason.

    :param title: names a row in what is told.
    :param count: says for how many it was done.
    """
    done = 0
    refused: dict[str, list[str]] = defaultdict(list)
    for row in rows.iterator():
        try:
            operation(row)
        except DomainError as refusal:
            refused[str(refusal)].append(title(row))
        else:
            done += 1
    if done:
        messages.success(request, f"{label}: {count(done)}")
    for reason, titles in refused.items():
        shown = ", ".join(f"“{title}”" for title in titles[:TITLES_SHOWN])
        more = len(titles) - TITLES_SHOWN
        if more > 0:
            shown += ngettext(" and %(count)d more", " and %(count)d more", more) % {"count": more}
        messages.error(request, f"{label}: {shown}: {reason}")
