"""The page that shows what somebody has typed when it cannot be saved any more."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from scheduling.admin.display import Text
from scheduling.admin.edit_conflicts import SEEN
from scheduling.models.references import parse_ids

WITH_MENU = "admin/base_site.html"
WITHOUT = "unfold/layouts/unauthenticated.html"


def has_typed(request: HttpRequest) -> bool:
    """Return whether the request posts the form of an item."""
    return request.method == "POST" and SEEN in request.POST


def not_saved(
    model_admin: ModelAdmin, request: HttpRequest, title: Text, *, status: int
) -> HttpResponse:
    """
    Show what was typed, and why it is not saved.

    Someone who has been signed out can send it again from there, once they have signed in.
    """
    is_in = model_admin.admin_site.has_permission(request)
    context = {
        **model_admin.admin_site.each_context(request),
        "layout": WITH_MENU if is_in else WITHOUT,
        "title": title,
        "opts": model_admin.opts,
        "typed": list(_typed(model_admin.model, request, names_joined=is_in)),
        "again": [] if is_in else list(_all_of(request)),
    }
    return TemplateResponse(request, "scheduling/not_saved.html", context, status=status)


def _typed(model: Any, request: HttpRequest, *, names_joined: bool) -> Iterator[tuple[str, str]]:
    for field in model._meta.get_fields():
        values = request.POST.getlist(field.name)
        if not values or (field.is_relation and not (names_joined and field.many_to_many)):
            continue
        if field.is_relation:
            rows = field.related_model.objects.filter(pk__in=parse_ids(*values))
            values = [str(row) for row in rows]
        text = "\n".join(values)
        if text.strip():
            yield capfirst(str(field.verbose_name)), text


def _all_of(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for name, values in request.POST.lists():
        if name != "csrfmiddlewaretoken":
            yield from ((name, str(value)) for value in values)
