"""The routes by which programs get and revoke tokens."""

from typing import Any

from django.contrib.auth import get_user_model, logout
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from knox.models import AuthToken
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotFound, Throttled
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common import sign_in
from armo.common.api.authentication import CHALLENGE
from armo.common.api.fields import MomentField, StrictInput, TextField
from armo.common.api.keys import AccountChanged, lock_account
from armo.common.api.views import ApiView


class WrongPassword(AuthenticationFailed):
    """The user name or the password is wrong."""

    default_detail = _("The user name or the password is wrong.")


class LoginInput(StrictInput):
    """A user name and a password."""

    username = TextField(max_length=254)
    password = TextField(max_length=1000)


class TokenOutput(serializers.Serializer[Any]):
    """A new token. It is shown once: only its hash is stored."""

    token = serializers.CharField()
    expires_at = MomentField(allow_null=True)
    username = serializers.CharField()


class TokenRow(serializers.Serializer[AuthToken]):
    """A token that is in use, by its first characters."""

    key = serializers.CharField(source="token_key", help_text="Its first 15 characters.")
    created_at = MomentField(source="created")
    expires_at = MomentField(source="expiry", allow_null=True)
    is_this_one = serializers.SerializerMethodField(help_text="Whether this request came with it.")

    def get_is_this_one(self, token: AuthToken) -> bool:
        """Return whether this request came with it."""
        return bool(token == self.context["request"].auth)


@extend_schema(tags=["auth"])
class LoginView(ApiView):
    """Get a token for a user name and a password; each login gives another."""

    permission_classes = (AllowAny,)
    # No session is looked at: a cookie must not make this route ask for a CSRF token.
    authentication_classes = ()
    is_repeatable = False  # a stored answer would store the token

    @extend_schema(
        operation_id="log_in",
        request=LoginInput,
        responses={200: TokenOutput},
        examples=[
            OpenApiExample(
                "the demo's editor",
                value={"username": "editor", "password": "editor"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Log in."""
        if self._not_acceptable is not None:
            # Before a password is tried: what is rolled back would not be counted.
            raise self._not_acceptable
        sent = self.parsed(LoginInput)
        # As the page to sign in does.
        username = get_user_model().normalize_username(sent["username"])
        user = sign_in.authenticate(request._request, username=username, password=sent["password"])
        if seconds := sign_in.seconds_locked(request._request):
            raise Throttled(wait=seconds)
        if user is None:
            raise WrongPassword
        with transaction.atomic():
            try:
                lock_account(user)
            except AccountChanged as error:
                raise WrongPassword from error
            token, secret = AuthToken.objects.create(user=user)
        answer = {"token": secret, "expires_at": token.expiry, "username": user.get_username()}
        return Response(TokenOutput(answer).data)

    def get_authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate`."""
        return CHALLENGE


@extend_schema(tags=["auth"])
class LogoutView(ApiView):
    """Revoke the token that the request comes with, or end the session."""

    permission_classes = (IsAuthenticated,)
    is_repeatable = False  # the user of a repetition would not be known any more

    @extend_schema(operation_id="log_out", request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """Log out."""
        if isinstance(request.auth, AuthToken):
            request.auth.delete()
        else:
            logout(request._request)
        return Response(status=204)


@extend_schema(tags=["auth"])
class TokensView(ApiView):
    """The tokens of the caller."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(operation_id="list_tokens", responses={200: TokenRow(many=True)})
    def get(self, request: Request) -> Response:
        """List the caller's tokens, the newest first."""
        # Expired tokens are deleted only when a request comes with a token of the same user.
        in_use = Q(expiry=None) | Q(expiry__gt=Now())
        tokens = AuthToken.objects.filter(in_use, user=request.user).order_by("-created")
        return Response(TokenRow(tokens, many=True, context={"request": request}).data)

    @extend_schema(operation_id="revoke_all_tokens", responses={204: None})
    def delete(self, request: Request) -> Response:
        """Revoke all of one's own tokens, also the one this request comes with."""
        AuthToken.objects.filter(user=request.user).delete()
        return Response(status=204)


@extend_schema(tags=["auth"])
class TokenView(ApiView):
    """One of one's own tokens."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(operation_id="revoke_token", responses={204: None})
    def delete(self, request: Request, key: str) -> Response:
        """Revoke one of one's own tokens."""
        # No key has other characters, and some PostgreSQL cannot be asked for.
        if not key.isalnum():
            raise NotFound
        count, _rows = AuthToken.objects.filter(user=request.user, token_key=key).delete()
        if not count:
            raise NotFound
        return Response(status=204)
