"""The web application, for gunicorn or any other WSGI server."""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, cast
from urllib.parse import unquote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

from armo.common import static

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "armo.settings")

# Of a folder that `collectstatic` has not made; `static` says what to do.
warnings.filterwarnings("ignore", "No directory at: ")
# By which gunicorn ends, instead of starting one process after the other in vain.
CANNOT_LOAD = 4
try:
    django_application = get_wsgi_application()
except ImproperlyConfigured as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(CANNOT_LOAD)
static.warn_unless_collected()

CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^;\"]*)\"?", re.IGNORECASE)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request; correct two things that Django would misread, and leave out a body."""
    _drop_odd_charset(environ)
    _take_in_chunks(environ)
    answer = django_application(environ, start_response)
    if environ["REQUEST_METHOD"] == "HEAD":
        # Of the body that Django makes, gunicorn would warn at each such request.
        answer.close()
        return []
    return cast("Iterable[bytes]", answer)


def _drop_odd_charset(environ: dict[str, Any]) -> None:
    """
    Drop an unknown charset: the body is then read as UTF-8.

    Django decodes the query string with it before any of our code runs, and fails.
    """
    content_type = environ.get("CONTENT_TYPE", "")
    found = CHARSET.search(content_type)
    if found is None:
        return
    try:
        unquote("%ff", encoding=found[1].strip(), errors="replace")
    except (LookupError, UnicodeError, ValueError):
        environ["CONTENT_TYPE"] = CHARSET.sub("", content_type)


def _take_in_chunks(environ: dict[str, Any]) -> None:
    """
    Read a body that comes in chunks, without a length: to Django it would be empty.

    Of a body that is too large only so much is read that Django refuses it.
    """
    if environ.get("CONTENT_LENGTH") or not environ.get("wsgi.input_terminated"):
        return
    if not environ.get("HTTP_TRANSFER_ENCODING"):
        return
    body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
