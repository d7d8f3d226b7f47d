"""Absolute addresses of the site."""

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


def site_address(request: HttpRequest | Request) -> str:
    """
    Return what absolute addresses begin with, without a slash at the end.

    `SITE_URL`, when the environment names it: behind a proxy a request may have come under another
    name or scheme, and caches keep what is answered. Otherwise the host that was asked for, one of
    `ALLOWED_HOSTS`. Where there is no request, as in mail, it is `settings.SITE_URL` in any case.
    """
    if settings.SITE_URL != settings.GUESSED_SITE_URL:
        return str(settings.SITE_URL)
    return request.build_absolute_uri("/")[:-1]


def absolute(request: HttpRequest | Request, path: str) -> str:
    """Return the absolute address of a path of the site."""
    return site_address(request) + path
