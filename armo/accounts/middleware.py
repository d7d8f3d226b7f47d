"""
Each person's time zone and language, for every page that they see; programs get the site's.

Both are stored in the session, so that a request needs no further query. A change in one session
reaches another when that next begins.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from armo.accounts import zones
from armo.accounts.models import Preferences

KEY = "armo_preferences"
# Answers to programs do not depend on the person: they are in UTC, in the site's language.
NOT_FOR = ("/api/", "/feeds/", "/health/", "/metrics/")


class PreferencesMiddleware:
    """Show pages in the time zone and the language of the person who asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request in that time zone and language."""
        if request.path.startswith(NOT_FOR) or not request.session.session_key:
            return self.get_response(request)
        if KEY not in request.session:
            if not request.user.is_authenticated:
                return self.get_response(request)
            # The session began before there were preferences.
            remember(request)
        chosen = request.session[KEY]
        if chosen["language"] in dict(settings.LANGUAGES):
            # LocaleMiddleware, which comes before, sets Content-Language from it.
            translation.activate(chosen["language"])
            request.LANGUAGE_CODE = translation.get_language()
        with timezone.override(zones.find(chosen["time_zone"]) or timezone.get_default_timezone()):
            return self.get_response(request)


def remember(request: HttpRequest) -> None:
    """Query what the person has chosen, for the rest of the session."""
    chosen = Preferences.objects.filter(user=request.user.pk).first() or Preferences()
    request.session[KEY] = {"time_zone": chosen.time_zone, "language": chosen.language}


def remember_at_login(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Query what the person who has signed in just now has chosen."""
    if request is not None and hasattr(request, "session"):
        request.user = user
        remember(request)
