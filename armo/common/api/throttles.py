"""Rate limits, by scope: `settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`."""

from typing import Any

from rest_framework import throttling
from rest_framework.request import Request

from armo.common.api.models import ApiKey
from armo.common.clients import network_of


class AnonymousThrottle(throttling.AnonRateThrottle):
    """Requests without a login, by network; those of unknown clients together, by their proxy."""

    def get_ident(self, request: Request) -> str:
        """Return the network, as sign-ins are counted by."""
        return network_of(request._request) or str(request.META.get("REMOTE_ADDR", ""))


class UserThrottle(throttling.UserRateThrottle):
    """Requests of one user; those with a key count for the key alone."""

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return the key of the cache for whoever asks."""
        if isinstance(request.auth, ApiKey):
            ident = f"key-{request.auth.pk}"
            return self.cache_format % {"scope": self.scope, "ident": ident}
        return super().get_cache_key(request, view)


class BulkThrottle(UserThrottle):
    """Requests that change many rows at once."""

    scope = "bulk"
