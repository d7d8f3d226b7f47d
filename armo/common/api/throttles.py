"""Rate limits, by scope: `settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]`."""

from rest_framework import throttling
from rest_framework.request import Request

from armo.common.clients import network_of


class AnonymousThrottle(throttling.AnonRateThrottle):
    """Requests without a login, by network; those of unknown clients together, by their proxy."""

    def get_ident(self, request: Request) -> str:
        """Return the network, as sign-ins are counted by."""
        return network_of(request._request) or str(request.META.get("REMOTE_ADDR", ""))


class BulkThrottle(throttling.UserRateThrottle):
    """Requests that change many rows at once."""

    scope = "bulk"
