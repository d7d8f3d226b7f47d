"""Absolute addresses of the site."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
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


@register(Tags.security, deploy=True)
def check_site_url(**kwargs: Any) -> list[CheckMessage]:
    """Return whether nobody has said what the site's absolute addresses begin with."""
    if settings.SITE_URL != settings.GUESSED_SITE_URL:
        return []
    return [
        Warning(
            f"SITE_URL is not set: links in mail begin with {settings.SITE_URL}, those in answers"
            " with the host of the request.",
            hint="Set it to the address that readers use, as https://news.example.org.",
            id="armo.W002",
        )
    ]
