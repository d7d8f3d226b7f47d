"""The base classes of the API's views."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotAcceptable, ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from armo.common.api import idempotency, versions
from armo.common.api.fields import is_blank
from armo.common.api.pages import PAGE_PARAMETERS
from armo.common.api.problems import CompressedBody, LengthRequired


class ApiView(APIView):
    """A view that carries out a repeated request once, and sets how long caches keep an answer."""

    # Whether a POST may come with an Idempotency-Key.
    is_repeatable = True
    # Returns for how many seconds caches may keep the answer; None: it is private.
    max_age: Callable[[], int] | None = None

    @property
    def is_translated(self) -> bool:
        """Whether the answer's texts are in the language of the request."""
        return False

    def known_parameters(self) -> Collection[str]:
        """Return the query parameters of the route: any other is refused."""
        return ()

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Choose how to write the answer; refuse an `Accept` only once there is a body."""
        try:
            chosen: tuple[BaseRenderer, str] = super().perform_content_negotiation(request)
        except NotAcceptable as error:
            self._not_acceptable = error
            chosen = super().perform_content_negotiation(request, force=True)
        return chosen

    _not_acceptable: NotAcceptable | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """
        Check permissions, and the parts of a request that every route reads alike.

        A request with an Idempotency-Key is carried out once.
        """
        super().initial(request, *args, **kwargs)
        name = str(request.method).lower()
        handler: Callable[..., Response] | None = getattr(self, name, None)
        if handler is None or name not in self.http_method_names:
            return  # 405 follows
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            # Django would take the body to be empty.
            raise LengthRequired
        if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise CompressedBody
        self._refuse_odd_parameters()
        if self._not_acceptable is not None:
            handler = partial(self._without_body, handler)
        if name == "post" and "Idempotency-Key" in request.headers and self.is_repeatable:
            handler = partial(self._once, handler)
        # On this instance, where `dispatch` finds it.
        vars(self)[name] = handler

    def _without_body(
        self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """
        Answer a request whose `Accept` allows no JSON.

        :raises NotAcceptable: the answer has a body; what was done is rolled back.
        """
        with transaction.atomic():
            response = handler(request, *args, **kwargs)
            if response.data is not None:
                assert self._not_acceptable is not None
                raise self._not_acceptable
        return response

    def _once(
        self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        return idempotency.answer_once(
            request, partial(handler, request, *args, **kwargs), self.handle_exception
        )

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Answer with the methods in `Allow`."""
        return Response(status=204)

    def parsed(self, serializer_class: type[BaseSerializer[Any]], **options: Any) -> dict[str, Any]:
        """
        Return the validated data of the request's body.

        :raises ValidationError:
        """
        if self.request.data is None:
            raise ValidationError(_("A JSON object is needed."))
        serializer = serializer_class(
            data=self.request.data, context={"request": self.request, "view": self}, **options
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _refuse_odd_parameters(self) -> None:
        """
        Refuse a parameter that is unknown, blank or repeated.

        Otherwise a misspelt filter, or one without a value, would return or change all rows.

        :raises ValidationError:
        """
        known = self.known_parameters()
        wrong = {}
        for name, values in self.request.query_params.lists():
            if name not in known:
                wrong[name] = [_unknown(name, known)]
            elif len(values) > 1:
                wrong[name] = [_("It may come only once.")]
            elif is_blank(values[0]):
                wrong[name] = [_("It is empty.")]
            elif "\ufffd" in values[0]:  # as Django reads bytes that are no text
                wrong[name] = [_("It is not UTF-8.")]
        if wrong:
            raise ValidationError(wrong)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Set which caches may keep the answer, and for how long."""
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Authorization", "Cookie"])
        in_one = not (response.exception or self.is_translated)
        response.is_in_one_language = in_one  # type: ignore[attr-defined]  # `LocaleMiddleware` asks
        if "Cache-Control" in response:
            return response
        if not self.is_repeatable:
            patch_cache_control(response, no_store=True)
        elif self.max_age is None:
            patch_cache_control(response, private=True, no_cache=True)
        else:
            patch_cache_control(response, public=True, max_age=self.max_age())
        return response

    def unless_known(self, response: Response) -> Response:
        """Return a list's answer, or 304 if the client has the same already."""
        data = response.data
        return versions.unless_known(self.request, lambda: data, etag=versions.tag(data))


def _unknown(name: str, known: Collection[str]) -> str:
    """Return the error of an unknown parameter, with the known one that is nearest to it."""
    for near in get_close_matches(name, known, n=1):
        return _("There is no such parameter. Did you mean “%(name)s”?") % {"name": near}
    return _("There is no such parameter.")


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """An `ApiView` for the several routes of a viewset."""

    def known_parameters(self) -> Collection[str]:
        """Return the parameters of a list: its filters, and those of its pages."""
        if self.action != "list":
            return ()
        filters = getattr(self, "filterset_class", None)
        return {*PAGE_PARAMETERS, *(filters.base_filters if filters else ())}

    def groups_of_rows(self, ordering: str) -> Sequence[Q]:
        """Return the groups of a list's rows that an index each has in the list's order."""
        return ()

    def may_be_empty(self, ordering: str) -> bool:
        """Return whether the field may be NULL in some of a list's rows."""
        return True

    @property
    def by(self) -> AbstractBaseUser:
        """Return the user, on a route that needs a login."""
        user = self.request.user
        assert user.is_authenticated
        return user
