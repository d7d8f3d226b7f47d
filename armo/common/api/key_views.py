"""The routes by which people make, list and revoke keys for their programs."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api import keys
from armo.common.api.fields import ChoiceField, ListField, MomentField, StrictInput, TextField
from armo.common.api.models import ApiKey
from armo.common.api.scopes import TYPES, Scope, find_type
from armo.common.api.views import ApiView


class KeyInput(StrictInput):
    """What a new key is called, and what it is for."""

    READ_ONLY = ("id", "prefix", "created_at", "last_used_at", "secret")

    name = TextField(max_length=100, help_text="No two keys of one person have the same.")
    scopes = ListField(
        child=ChoiceField(choices=Scope.choices), min_length=1, max_length=len(Scope)
    )
    type = TextField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="The one type of content that it is for, `story` or `content.story`; left out,"
        " all.",
    )
    expires_at = MomentField(
        required=False, allow_null=True, help_text="When it ends; never, if left out or null."
    )

    def validate_type(self, name: str) -> str:
        """Return the whole name of the type."""
        found = find_type(name) if name else ""
        if found is None:
            text = _("There is no such type of content. (%(name)s; %(known)s)")
            known = ", ".join(sorted(TYPES))
            raise serializers.ValidationError(
                text % {"name": ascii(name)[1:-1], "known": known}, code="unknown_model"
            )
        return found


class KeyOutput(serializers.Serializer[Any]):
    """A key, by its name and its first characters."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="Its first 15 characters.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    type = serializers.CharField(
        help_text="The one type of content that it is for, as `content.story`; empty for all."
    )
    created_at = MomentField()
    expires_at = MomentField(allow_null=True)
    last_used_at = MomentField(allow_null=True, help_text="To the minute; null if it never was.")


class NewKeyOutput(KeyOutput):
    """A new key. Its secret is shown once: only a digest is stored."""

    secret = serializers.CharField(help_text="Send it as `Authorization: Bearer <secret>`.")


@extend_schema(tags=["auth"])
class KeysView(ApiView):
    """The caller's keys for programs."""

    permission_classes = (IsAuthenticated,)
    is_repeatable = False  # a stored answer would store the secret

    @extend_schema(operation_id="list_keys", responses={200: KeyOutput(many=True)})
    def get(self, request: Request) -> Response:
        """List the caller's keys, the newest first, also those that have ended."""
        own = ApiKey.objects.filter(owner_id=request.user.pk).order_by("-pk")
        return Response(KeyOutput(own, many=True).data)

    @extend_schema(
        operation_id="create_key",
        request=KeyInput,
        responses={201: NewKeyOutput},
        examples=[
            OpenApiExample(
                "for an import of stories",
                value={
                    "name": "nightly import",
                    "scopes": ["read", "write"],
                    "type": "story",
                    "expires_at": "2099-03-01T09:00:00+09:00",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a key for a program, which may never do more than the caller."""
        sent = self.parsed(KeyInput)
        user = request.user
        assert user.is_authenticated
        key, secret = keys.make_key(
            owner=user,
            name=sent["name"],
            scopes=sent["scopes"],
            only_type=sent.get("type", ""),
            expires_at=sent.get("expires_at"),
        )
        data = {**KeyOutput(key).data, "secret": secret}
        return Response(data, status=201, headers={"Cache-Control": "no-store"})


@extend_schema(tags=["auth"])
class KeyView(ApiView):
    """One of the caller's keys."""

    permission_classes = (IsAuthenticated,)

    @extend_schema(operation_id="revoke_key", responses={204: None})
    def delete(self, request: Request, id: int) -> Response:
        """Revoke one of one's own keys; it ends at once."""
        user = request.user
        assert user.is_authenticated
        key = ApiKey.objects.filter(owner_id=user.pk, pk=id).first()
        if key is None:
            raise NotFound
        keys.revoke_key(key=key, by=user)
        return Response(status=204)
