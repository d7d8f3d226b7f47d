"""What is on every page of the admin: the menu, its style sheet and scripts."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from scheduling.access.permissions import has_right
from scheduling.admin import calendar
from scheduling.models import Job, schedulable_models


def colors(request: HttpRequest) -> str:
    """Return the address of the style sheet with the theme's colours."""
    return static("armo/colors.css")


def style(request: HttpRequest) -> str:
    """Return the address of the style sheet."""
    return static("scheduling/admin.css")


def script(request: HttpRequest) -> str:
    """Return the address of the script that keeps pages up to date."""
    return static("scheduling/admin.js")


def theme_script(request: HttpRequest) -> str:
    """Return the address of the script that makes the theme accessible."""
    return static("armo/theme.js")


def alpine_script(request: HttpRequest) -> str:
    """Return the address of the script that lets the theme do without evaluated code."""
    return static("armo/alpine.js")


def favicon(request: HttpRequest) -> str:
    """Return the address of the icon in a browser's tab."""
    return static("scheduling/icon.svg")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu, with the pages that the person may open."""
    own = [_item(_("Today"), "dashboard", reverse("admin:index"))]
    if calendar.may_open(request.user):
        own.append(_item(_("Calendar"), "calendar_month", reverse("admin-calendar")))
    if has_right(request.user, "view", Job):
        own.append(_item(_("Jobs"), "list_alt", _list_of(Job)))
    taken = {Job, *schedulable_models()}
    content = [_entry(model) for model in schedulable_models() if _may_open(request, model)]
    site = [
        _entry(model)
        for model in admin.site._registry
        if model not in taken and _may_open(request, model)
    ]
    groups = [(_("Publishing"), own), (_("Content"), content), (_("Site"), site)]
    return [
        {"title": title, "separator": bool(place), "items": items}
        for place, (title, items) in enumerate(groups)
        if items
    ]


def account(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the links of the person's own menu."""
    return [
        {"title": _("Time zone and language"), "link": reverse("admin-preferences")},
        {"title": _("Change password"), "link": reverse("admin:password_change")},
        {"title": _("API keys"), "link": reverse("admin:api_apikey_changelist")},
    ]


ICONS = {
    "story": "article",
    "notice": "campaign",
    "category": "folder",
    "tag": "sell",
    "user": "person",
    "group": "group",
    "authtoken": "key",
    "apikey": "key",
}


def _entry(model: Any) -> dict[str, Any]:
    opts = model._meta
    icon = ICONS.get(opts.model_name, "draft")
    return _item(capfirst(str(opts.verbose_name_plural)), icon, _list_of(model))


def _item(title: str, icon: str, link: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": link}


def _list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _may_open(request: HttpRequest, model: Any) -> bool:
    of_model = admin.site._registry.get(model)
    return (
        of_model is not None
        and of_model.has_module_permission(request)
        and of_model.has_view_or_change_permission(request)
    )
