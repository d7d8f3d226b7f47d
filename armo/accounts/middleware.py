"""
Each person's time zone and language, for every page of his that is not for programs.

They are kept in the session, so that a request asks the database for nothing more. What is changed
in one session another sees when it next begins.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from armo.accounts import zones
from armo.accounts.models import Preferences

KEY = "armo_preferences"
# Programs are answered the same, whoever asks: in UTC, and in the site's words.
NOT_FOR = ("/api/", "/feeds/", "/health/", "/metrics/")


class PreferencesMiddleware:
    """Show pages in the time zone and the language of whoever asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request in them."""
        if request.path.startswith(NOT_FOR) or not request.session.session_key:
            return self.get_response(request)
        if KEY not in request.session:
            if not request.user.is_authenticated:
                return self.get_response(request)
            # A session from before there were any.
            remember(request)
        chosen = request.session[KEY]
        if chosen["language"] in dict(settings.LANGUAGES):
            # LocaleMiddleware, which comes before, says so in the answer.
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
