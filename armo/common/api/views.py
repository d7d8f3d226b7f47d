"""The base classes of the API's views."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q
from django.http import HttpRequest
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from armo.common.api import idempotency, versions
from armo.common.api.problems import LengthRequired


class ApiView(APIView):
    """A view that carries out a repeated request once, and sets how long caches keep an answer."""

    # Whether a POST may come with an Idempotency-Key.
    is_repeatable = True
    # Returns for how many seconds caches may keep the answer; None: it is private.
    max_age: Callable[[], int] | None = None
    # Whether the answer's texts are in the language of the request.
    is_translated = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check permissions; have a request with an Idempotency-Key carried out once."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            # Django would take the body to be empty.
            raise LengthRequired
        # Without a `post` method no permissions were checked, and there is nothing to carry out.
        handler: Callable[..., Response] | None = getattr(self, "post", None)
        has_key = request.method == "POST" and "Idempotency-Key" in request.headers
        if has_key and handler is not None and self.is_repeatable:
            # On this instance, where `dispatch` finds it.
            vars(self)["post"] = partial(self._once, handler)

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

    def refuse_odd_parameters(self, known: set[str]) -> None:
        """
        Refuse a parameter that is unknown, empty or repeated.

        Otherwise a misspelt filter, or one without a value, would return all rows.

        :raises ValidationError:
        """
        wrong = {}
        for name, values in self.request.query_params.lists():
            if name not in known:
                wrong[name] = [_("There is no such parameter.")]
            elif len(values) > 1:
                wrong[name] = [_("It may come only once.")]
            elif not values[0]:
                wrong[name] = [_("It is empty.")]
        if wrong:
            raise ValidationError(wrong)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Set which caches may keep the answer, and for how long."""
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Authorization", "Cookie"])
        in_one = not (self.is_translated or response.exception)
        response.is_in_one_language = in_one  # type: ignore[attr-defined]  # `LocaleMiddleware` asks
        if "Cache-Control" in response:
            return response
        if self.max_age is None:
            patch_cache_control(response, private=True, no_cache=True)
        else:
            patch_cache_control(response, public=True, max_age=self.max_age())
        return response

    def unless_known(self, response: Response) -> Response:
        """Return a list's answer, or 304 if the client has the same already."""
        etag = versions.tag(response.data)
        return versions.not_modified(self.request, etag) or versions.stamp(response, etag=etag)


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """An `ApiView` for the several routes of a viewset."""

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
