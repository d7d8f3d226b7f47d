"""The language of an answer."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware import locale


class LocaleMiddleware(locale.LocaleMiddleware):
    """Has caches keep an answer once for each language only if it depends on the language."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Set `Vary` and `Content-Language`, unless the view says `is_in_one_language`."""
        if getattr(response, "is_in_one_language", False):
            return response
        return super().process_response(request, response)
