"""Redirects from old addresses."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.utils.cache import patch_cache_control

from content import addresses
from scheduling.queries.cache_lifetime import LONGEST_SECONDS


class OldAddressMiddleware:
    """
    Answers 301 instead of 404 where a live story has been.

    Browsers keep a 301 for ever unless it says how long; somebody else may take the address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self.get_response(request)
        if response.status_code != 404 or request.method not in ("GET", "HEAD"):
            return response
        story = addresses.find(request.path_info)
        if story is None or request.path == story.get_absolute_url():
            return response
        query = request.META.get("QUERY_STRING", "")
        target = story.get_absolute_url() + (f"?{query}" if query else "")
        moved = HttpResponsePermanentRedirect(target)
        patch_cache_control(moved, public=True, max_age=LONGEST_SECONDS)
        return moved
