"""
What an answer lets a browser do: its Content-Security-Policy, and two headers that Django lacks.

docs/security.md has the policies in words, and the reasons for each source.
"""

from http import HTTPStatus
from typing import Any

from csp.constants import HEADER, NONE, SELF
from csp.middleware import CSPMiddleware, PolicyParts
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_cache_control, patch_vary_headers

Directives = dict[str, Any]

# Of answers that are no page: JSON, feeds, calendars, files, redirects. Nothing at all.
NO_PAGE: Directives = {
    "default-src": [NONE],
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
}
# Of pages. They have no scripts; readers see pictures of any site that an editor names.
PAGE: Directives = {
    **NO_PAGE,
    "style-src": [SELF],
    "img-src": [SELF, "https:"],
    "form-action": [SELF],
}
# Of pages with scripts: the admin and the API's documentation. Style sheets have small pictures
# of their own in them (data:).
PAGE_WITH_SCRIPTS: Directives = {
    **PAGE,
    "script-src": [SELF],
    "connect-src": [SELF],
    "font-src": [SELF],
    "img-src": [SELF, "data:", "https:"],
}
# Of pages that came by https: a picture that a text names by http is asked for by https.
UPGRADED: Directives = {"upgrade-insecure-requests": [True]}


class HeadersMiddleware(CSPMiddleware):
    """
    Sets a policy by what the answer is; that of a page may be the view's own (`csp.decorators`).

    It comes before all other middleware that answers. In development, Django's own pages
    about errors have none: their scripts stand in them.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Set the headers that the answer does not have yet."""
        # Nobody has set SITE_URL: absolute addresses in the answer follow the host of the request.
        if settings.SITE_URL == settings.GUESSED_SITE_URL:
            patch_vary_headers(response, ["Host"])
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return response  # what the browser has stays as it is, also its policy
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault(HEADER, build_policy(NO_PAGE, settings.CSP_OF_ALL))
        if _is_in_admin(request) and "Cache-Control" not in response.headers:
            patch_cache_control(response, no_store=True)
        response = super().process_response(request, response)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        # The preview of a text in the admin is a frame without an origin, so that nothing in it can
        # act; it has the style sheet of the public pages.
        is_file = request.path.startswith(settings.STATIC_URL)
        users = "cross-origin" if is_file else "same-origin"
        response.headers.setdefault("Cross-Origin-Resource-Policy", users)
        return response

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """Return the parts of a page's policy."""
        parts = super().get_policy_parts(request, response, report_only)
        if report_only:
            return parts
        if parts.config is None:
            parts.config = PAGE_WITH_SCRIPTS if _is_in_admin(request) else PAGE
        # On a site without TLS, pictures that a text names by http are shown, too.
        by_scheme = UPGRADED if request.is_secure() else {"img-src": ["http:"]}
        parts.update = {**settings.CSP_OF_ALL, **by_scheme, **(parts.update or {})}
        return parts


def _is_in_admin(request: HttpRequest) -> bool:
    try:
        return request.path.startswith(reverse("admin:index"))
    except NoReverseMatch:
        # A site may have no admin, or keep it on another host.
        return False
