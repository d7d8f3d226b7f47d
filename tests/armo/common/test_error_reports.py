"""What a page or a mail about an error says."""

import sys
from typing import Any

from django.test import RequestFactory
from django.views.debug import ExceptionReporter

ADDRESS = "redis://:s3cret@127.0.0.1/1"


def test_a_report_of_an_error_has_no_address_with_a_password(settings: Any) -> None:
    settings.DATABASE_URL = ADDRESS
    settings.CACHES = {"default": {"BACKEND": "a.b", "LOCATION": ADDRESS}}
    # Django's own server for development puts its environment into each request.
    request = RequestFactory().get("/", SENTRY_DSN=ADDRESS, CACHE_URL=ADDRESS)
    try:
        raise ValueError
    except ValueError:
        report = ExceptionReporter(request, *sys.exc_info())

    shown = report.get_traceback_text()

    assert "s3cret" not in shown
    assert "WSGI_APPLICATION" in shown
