"""Authentication of programs, by key or token; people have sessions."""

# mypy: disallow-subclassing-any=false

from typing import Any

from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from armo.common.api import keys, scopes

# The scheme that an answer 401 asks for.
CHALLENGE = 'Bearer realm="armo"'
SCHEMES = (b"bearer", b"token")


class BearerToken(TokenAuthentication):
    """
    `Authorization: Bearer <token>`, or with a key in its place.

    `Token`, as the REST framework has it, is accepted too.
    """

    def authenticate(self, request: Request) -> Any:
        """Return the user, and the token or the key; None when there is neither."""
        scheme, *rest = get_authorization_header(request).split() or [b""]
        if scheme.lower() not in SCHEMES:
            return None
        prefix = keys.PREFIX.encode()
        # They have no other characters, and some bytes or texts cannot be sent to PostgreSQL.
        if len(rest) != 1 or not rest[0].removeprefix(prefix).isalnum():
            raise AuthenticationFailed(_("Invalid token."))
        if not rest[0].startswith(prefix):
            return self.authenticate_credentials(rest[0])
        key = keys.find_key(rest[0].decode())
        if key is None:
            raise AuthenticationFailed(_("Invalid token."))
        keys.note_use(key)
        # Here, so that no view can forget it.
        scopes.require_scope_of_route(key, request.parser_context["view"], str(request.method))
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate`."""
        return CHALLENGE
