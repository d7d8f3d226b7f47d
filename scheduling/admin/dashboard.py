"""The admin's first page: what is to come, what has failed, and how the publisher is."""

from typing import Any

from django.http import HttpRequest


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return what the first page shows."""
    return context
