"""Rate limits, by scope: `settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`."""

from typing import cast

from django.core.cache import BaseCache, caches
from django.utils.connection import ConnectionProxy
from rest_framework import throttling
from rest_framework.request import Request
from rest_framework.views import APIView


class LoginThrottle(throttling.AnonRateThrottle):
    """
    Attempts to log in, by IP address.

    Counted in the database, for all web processes together.
    """

    scope = "login"
    cache = cast(BaseCache, ConnectionProxy(caches, "shared"))

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return the key of the IP address, also for someone who is logged in."""
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class BulkThrottle(throttling.UserRateThrottle):
    """Requests that change many rows at once."""

    scope = "bulk"
