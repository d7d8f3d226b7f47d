"""Authentication of programs, by token; people have sessions."""

# mypy: disallow-subclassing-any=false

from typing import Any

from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

# The scheme that an answer 401 asks for.
CHALLENGE = 'Bearer realm="armo"'
SCHEMES = (b"bearer", b"token")


class BearerToken(TokenAuthentication):
    """`Authorization: Bearer <token>`; `Token`, as the REST framework has it, is accepted too."""

    def authenticate(self, request: Request) -> Any:
        """Return the user and the token; None when there is no token."""
        scheme, *rest = get_authorization_header(request).split() or [b""]
        if scheme.lower() not in SCHEMES:
            return None
        # Tokens have no other characters, and some bytes or texts cannot be sent to PostgreSQL.
        if len(rest) != 1 or not rest[0].isalnum():
            raise AuthenticationFailed(_("Invalid token."))
        return self.authenticate_credentials(rest[0])

    def authenticate_header(self, request: Request) -> str:
        """Return the value of `WWW-Authenticate`."""
        return CHALLENGE
