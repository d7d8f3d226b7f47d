"""The base of every view of the API."""

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
    """A view that does a repeated request once, and says how long others may keep its answer."""

    # Whether a POST may come with an Idempotency-Key.
    is_repeatable = True
    # Says for how many seconds others may keep the answer; None: it is not for others.
    max_age: Callable[[], int] | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check who asks; have a request that may be a repetition done once."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            # Django would take the body for empty.
            raise LengthRequired
        # Where nothing can be posted no rights were asked for, and there is nothing to do once.
        handler: Callable[..., Response] | None = getattr(self, "post", None)
        has_key = request.method == "POST" and "Idempotency-Key" in request.headers
        if has_key and handler is not None and self.is_repeatable:
            # On this object alone, where `dispatch` looks for it first.
            vars(self)["post"] = partial(self._once, handler)

    def _once(
        self, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        return idempotency.answer_once(
            request, partial(handler, request, *args, **kwargs), self.handle_exception
        )

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """Say, in the header `Allow`, what can be done here."""
        return Response(status=204)

    def parsed(self, serializer_class: type[BaseSerializer[Any]], **options: Any) -> dict[str, Any]:
        """
        Return what the request's body says.

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
        Refuse a parameter that does not exist, is empty or comes twice.

        A filter that is misspelt, or left out for want of a value, would return everything.

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
        """Say who may keep the answer, and for how long."""
        response = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(response, ["Accept-Language", "Authorization", "Cookie"])
        if "Cache-Control" in response:
            return response
        if self.max_age is None:
            patch_cache_control(response, private=True, no_cache=True)
        else:
            patch_cache_control(response, public=True, max_age=self.max_age())
        return response

    def unless_known(self, response: Response) -> Response:
        """Return a list's answer, or 304 to whoever has the same already."""
        etag = versions.tag(response.data)
        return versions.not_modified(self.request, etag) or versions.stamp(response, etag=etag)


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """The same, for several routes."""

    def groups_of_rows(self, ordering: str) -> Sequence[Q]:
        """Return groups that a list's rows fall into, each of which an index has in that order."""
        return ()

    def may_be_empty(self, ordering: str) -> bool:
        """Return whether some of a list's rows may have nothing there."""
        return True

    @property
    def by(self) -> AbstractBaseUser:
        """Return who asks; only of what asks for a login."""
        user = self.request.user
        assert user.is_authenticated
        return user
