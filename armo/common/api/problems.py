"""
Errors as in RFC 9457: `application/problem+json` with a `code` that never changes.

Whatever a view raises, expected or not, is answered by `answer`; what never reaches a view (an
unknown URL, a host that is not served) by the views at the end.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, Protocol, runtime_checkable

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from armo.common.failover import leave_read_only_server

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

# Every code there is, with its status and what it means: docs/api.md and the OpenAPI document list
# them. A refusal whose code is not among them is a conflict.
CODES: dict[str, tuple[HTTPStatus, Any]] = {
    "not_in_future": (HTTPStatus.BAD_REQUEST, _("That time has already passed.")),
    "unknown_model": (HTTPStatus.BAD_REQUEST, _("There is no such type of content.")),
    "validation_error": (HTTPStatus.BAD_REQUEST, _("Something in the request is wrong.")),
    "parse_error": (HTTPStatus.BAD_REQUEST, _("The request's body is not JSON.")),
    "bad_request": (HTTPStatus.BAD_REQUEST, _("The request cannot be understood.")),
    "not_authenticated": (HTTPStatus.UNAUTHORIZED, _("Log in first.")),
    "permission_denied": (HTTPStatus.FORBIDDEN, _("You have no right to do this.")),
    "scope_missing": (HTTPStatus.FORBIDDEN, _("The key is not for this.")),
    "sign_in_needed": (
        HTTPStatus.FORBIDDEN,
        _("A person has to sign in for this: no key can do it."),
    ),
    "https_required": (HTTPStatus.FORBIDDEN, _("Send this by https only.")),
    "not_found": (HTTPStatus.NOT_FOUND, _("There is no such thing.")),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, _("That cannot be done here.")),
    "not_acceptable": (HTTPStatus.NOT_ACCEPTABLE, _("Answers are JSON only.")),
    "invalid_transition": (HTTPStatus.CONFLICT, _("That cannot be done in the present status.")),
    "not_publishable": (HTTPStatus.CONFLICT, _("It cannot go live as it is.")),
    "idempotency_key_reused": (
        HTTPStatus.CONFLICT,
        _("Another request came with the same Idempotency-Key before."),
    ),
    "version_conflict": (
        HTTPStatus.PRECONDITION_FAILED,
        _("It has been changed since you read it."),
    ),
    "length_required": (
        HTTPStatus.LENGTH_REQUIRED,
        _("Say how long the request's body is, in Content-Length."),
    ),
    "too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _("The request's body is too large.")),
    "unsupported_media_type": (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        _("Send JSON, as application/json, not compressed."),
    ),
    "throttled": (HTTPStatus.TOO_MANY_REQUESTS, _("Too many requests. Wait a little.")),
    "internal_error": (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        _("Something went wrong here. It has been logged."),
    ),
    "unavailable": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        _("The database cannot be reached. Try again shortly."),
    ),
}

# The codes of the REST framework that have another name here.
RENAMED = {"error": "bad_request", "invalid": "validation_error"}

logger = logging.getLogger(__name__)


@runtime_checkable
class Refusal(Protocol):
    """An error that has a code and facts for programs, such as the engine's `DomainError`."""

    code: str

    def facts(self) -> dict[str, Any]:
        """Return further members of the problem."""


class TooLarge(exceptions.APIException):
    """The request's body is larger than `DATA_UPLOAD_MAX_MEMORY_SIZE`."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = CODES["too_large"][1]
    default_code = "too_large"


class CompressedBody(exceptions.APIException):
    """A body with a Content-Encoding."""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_detail = _("Send the body as it is, without Content-Encoding.")
    default_code = "unsupported_media_type"
    headers = {"Accept-Encoding": "identity"}  # noqa: RUF012 (RFC 9110, 12.5.3)


class LengthRequired(exceptions.APIException):
    """A body in chunks, which the server in front has not put together."""

    status_code = HTTPStatus.LENGTH_REQUIRED
    default_detail = CODES["length_required"][1]
    default_code = "length_required"


def body_of(
    code: str, detail: str = "", *, status: int | None = None, **facts: object
) -> dict[str, Any]:
    """Return the members of a problem; `facts` are those of its own."""
    known_status, title = CODES.get(code, (HTTPStatus.CONFLICT, ""))
    title = str(title) or detail
    return {
        "type": f"/api/v1/problems/#{code}",
        "title": title,
        "status": int(status or known_status),
        "detail": detail or title,
        "code": code,
        **facts,
    }


def answer(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return the answer to an exception of a view."""
    headers: dict[str, str] = dict(getattr(error, "headers", {}))
    if isinstance(error, Refusal):
        body = body_of(error.code, str(error), **error.facts())
        if etag := body.get("current_etag"):
            headers["ETag"] = etag
    elif isinstance(error, exceptions.APIException):
        body = _of_framework(error, headers)
    elif isinstance(error, Http404):
        body = body_of("not_found")
    elif isinstance(error, PermissionDenied):
        body = body_of("permission_denied")
    elif isinstance(error, RequestDataTooBig):
        body = body_of("too_large")
    elif isinstance(error, SuspiciousOperation):
        body = body_of("bad_request")
    else:
        body = _of_surprise(error, context["request"], headers)
    # Also on routes with other renderers, such as the pages of the documentation.
    context["request"].accepted_renderer = JSONRenderer()
    context["request"].accepted_media_type = JSONRenderer.media_type
    response = Response(body, status=body["status"], headers=headers, content_type=MEDIA_TYPE)
    patch_cache_control(response, no_store=True)
    if body["status"] >= 500:
        # Above, with its cause: Django would add a line without one.
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _of_framework(error: exceptions.APIException, headers: dict[str, str]) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        errors = list(flat(error.get_full_details()))
        detail = " ".join(
            f"{it['field']}: {it['detail']}" if it["field"] else it["detail"] for it in errors
        )
        return body_of("validation_error", _short(detail), errors=errors)
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        headers["WWW-Authenticate"] = str(getattr(error, "auth_header", "Bearer"))
        return body_of("not_authenticated", str(error.detail))
    if isinstance(error, exceptions.Throttled):
        seconds = max(1, ceil(getattr(error, "wait", None) or 1))
        headers["Retry-After"] = str(seconds)
        return body_of("throttled", retry_after_seconds=seconds)
    code = str(error.default_code)
    code = RENAMED.get(code, code)
    return body_of(code, _short(str(error.detail)), status=error.status_code)


def _of_surprise(error: Exception, request: Any, headers: dict[str, str]) -> dict[str, Any]:
    if leave_read_only_server(error) or isinstance(error, OperationalError | InterfaceError):
        logger.warning("The database failed a request.", exc_info=error)
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return body_of("unavailable")
    # Error reporting (Django's e-mail, Sentry) listens to this signal.
    got_request_exception.send(sender=None, request=request._request)
    logger.error("A request failed: %s %s", request.method, request.path, exc_info=error)
    return body_of("internal_error")


def flat(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Return nested errors one by one, each with the path of its field, as `tags.0`."""
    if _is_error(details):
        yield {
            "field": path,
            "code": str(details["code"]),
            "detail": _printable(str(details["message"])),
        }
        return
    if isinstance(details, dict):
        for name, inner in details.items():
            here = "" if name == "non_field_errors" else _printable(str(name))
            yield from flat(inner, ".".join(filter(None, [path, here])))
        return
    for place, inner in enumerate(details):
        if inner:
            yield from flat(
                inner, path if _is_error(inner) else ".".join(filter(None, [path, str(place)]))
            )


def _is_error(details: Any) -> bool:
    """Return whether these are the members of one error, and not fields with the same names."""
    return isinstance(details, dict) and isinstance(details.get("code"), str)


def _printable(text: str) -> str:
    """Return what a client sent so that it can be sent back: not every string is Unicode text."""
    return text.encode(errors="replace").decode()[:300]


def _short(text: str) -> str:
    return text if len(text) <= 1000 else text[:999] + "…"


# Answers outside the views of the API


def plain_answer(request: HttpRequest, code: str, detail: str = "") -> HttpResponse:
    """Return a problem without the REST framework."""
    body = body_of(code, detail)
    response = JsonResponse(
        body,
        status=body["status"],
        content_type=MEDIA_TYPE,
        json_dumps_params={"ensure_ascii": False},
    )
    patch_cache_control(response, no_store=True)
    patch_vary_headers(response, ["Accept-Language"])
    return response


def is_for_api(request: HttpRequest) -> bool:
    """Return whether the request is for a route of the API."""
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses before it looks for a view."""
    if is_for_api(request):
        return plain_answer(request, "bad_request")
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that is forbidden."""
    if is_for_api(request):
        return plain_answer(request, "permission_denied")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request for an unknown URL."""
    if is_for_api(request):
        return plain_answer(request, "not_found", gettext("There is no such route."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer a failure outside the views of the API."""
    if is_for_api(request):
        return plain_answer(request, "internal_error")
    return defaults.server_error(request)


class HttpsMiddleware:
    """
    Refuses by http what must not be sent a second time, where Django would redirect it to https.

    Whoever follows a redirect does not notice that a password or a token was readable on the way,
    each time; and a POST mostly becomes a GET.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self.get_response(request)
        is_harmless = request.method in ("GET", "HEAD", "OPTIONS")
        if (
            response.status_code == HTTPStatus.MOVED_PERMANENTLY
            and settings.SECURE_SSL_REDIRECT
            and not request.is_secure()
            and not (is_harmless and "Authorization" not in request.headers)
        ):
            return plain_answer(request, "https_required")
        return response
