"""How an answer is written: as `Accept` asks for it."""

# mypy: disallow-subclassing-any=false

from collections.abc import Iterable

from django.http.request import MediaType
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class Negotiation(DefaultContentNegotiation):
    """Goes by Django's reading of `Accept`, which heeds `q`; the REST framework's does not."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """
        Return the renderer that the client prefers, and what it is to write.

        :raises NotAcceptable:
        """
        by_type = {str(it.media_type): it for it in renderers}
        # Absent, empty or malformed, it asks for nothing in particular.
        asks = "/" in request.headers.get("Accept", "")
        for asked in request._request.accepted_types if asks else [MediaType("*/*")]:
            # Without its parameters: clients send `charset=utf-8`, which JSON does not have.
            asked_type = MediaType(f"{asked.main_type}/{asked.sub_type}")
            for media_type, renderer in by_type.items():
                if asked_type.match(media_type):
                    return renderer, str(asked)
        raise NotAcceptable(available_renderers=list(by_type.values()))
