"""How often whom may ask: `settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`, by scope."""

from typing import cast

from django.core.cache import BaseCache, caches
from django.utils.connection import ConnectionProxy
from rest_framework import throttling
from rest_framework.request import Request
from rest_framework.views import APIView


class LoginThrottle(throttling.AnonRateThrottle):
    """
    Attempts to log in, by address.

    Counted in the database, so that all web processes count together.
    """

    scope = "login"
    cache = cast(BaseCache, ConnectionProxy(caches, "shared"))

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return what is counted: an address, also of who is logged in already."""
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class BulkThrottle(throttling.UserRateThrottle):
    """Requests that change very many rows at once."""

    scope = "bulk"
