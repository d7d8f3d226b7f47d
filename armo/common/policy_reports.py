"""What a page wanted and its Content-Security-Policy forbade: in development, a line of the log."""

import json
import logging
import time
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from armo.common.logging import without_secrets_in_text

MAX_BYTES = 16_384
LINES_PER_MINUTE = 30
# As browsers name them (Content Security Policy Level 3, 5.3).
FACTS = {
    "page": "document-uri",
    "directive": "effective-directive",
    "blocked": "blocked-uri",
    "source": "source-file",
    "line": "line-number",
}

logger = logging.getLogger(__name__)


@csrf_exempt  # the browser sends it by itself
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """Log a browser's report; ignore what is none, and more than so many a minute."""
    try:
        sent = json.loads(request.read(MAX_BYTES))["csp-report"]
        facts = {name: _short(sent.get(key)) for name, key in FACTS.items()}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return HttpResponse(status=400)
    if _count_in_this_minute() <= LINES_PER_MINUTE:
        logger.warning(
            "%(page)s: %(directive)s forbids %(blocked)s (%(source)s, line %(line)s)",
            facts,
            extra=facts,
        )
    return HttpResponse(status=204)


def _short(value: Any) -> str:
    """Return it on one line, whatever a page has put into it, without the secret of a link."""
    return ascii(without_secrets_in_text(str(value))[:300])[1:-1]


def _count_in_this_minute() -> int:
    key = f"policy-reports-{int(time.time() // 60)}"
    cache.add(key, 0, 60)
    return cache.incr(key)
