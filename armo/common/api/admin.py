"""The API tokens, for administrators to list and to revoke."""

# mypy: disallow-subclassing-any=false

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from armo.common.theme import ModelAdmin

admin.site.unregister(AuthToken)


@admin.register(AuthToken)
class TokenAdmin(ModelAdmin):
    """Tokens are made by logging in: one made here would never be shown to anybody."""

    list_display = ("first_characters", "user", "created", "expiry")
    list_display_links = None
    list_select_related = ("user",)
    search_fields = ("user__username", "token_key")
    ordering = ("-created",)

    @admin.display(description=_("first characters"))
    def first_characters(self, token: AuthToken) -> str:
        """Return the first characters, by which its owner recognises it."""
        return f"{token.token_key}…"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuthToken | None = None) -> bool:
        """Nobody."""
        return False
