"""Keys and tokens of programs: everybody has their own keys, administrators see all."""

# mypy: disallow-subclassing-any=false

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken

from armo.common.api import keys
from armo.common.api.models import ApiKey
from armo.common.api.scopes import TYPES, Scope
from armo.common.theme import CheckboxesWidget, ModelAdmin, SelectWidget

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


def types() -> list[tuple[str, str]]:
    """Return the types of content that a key may be limited to."""
    found = [(name, capfirst(str(it._meta.verbose_name_plural))) for name, it in TYPES.items()]
    return [("", str(_("All"))), *sorted(found)]


class KeyForm(forms.ModelForm):
    """What a new key is called, and what it is for."""

    scopes = forms.MultipleChoiceField(
        label=_("scopes"),
        choices=[(it.value, format_lazy("{}: {}", it.value, it.label)) for it in Scope],
        widget=CheckboxesWidget,
        help_text=_("A key never allows more than you may do yourself."),
    )
    type = forms.ChoiceField(
        label=_("only for"), choices=types, required=False, widget=SelectWidget
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "type", "expires_at")

    owner: AbstractBaseUser

    def clean(self) -> dict[str, Any]:
        """Check what stands in the way of the key."""
        data: dict[str, Any] = super().clean()  # type: ignore[assignment]  # a ModelForm's has data
        try:
            keys.check_new_key(
                owner=self.owner,
                name=keys.tidy(data.get("name", "")),
                expires_at=data.get("expires_at"),
            )
        except keys.KeyRefused as refused:
            if not self.has_error(refused.field):
                self.add_error(refused.field, refused.text)
        return data


@admin.register(ApiKey)
class KeyAdmin(ModelAdmin):
    """People's own keys; who has the rights sees and revokes those of others."""

    form = KeyForm
    list_display = ("name", "owner", "first_characters", "for_what", "expires_at", "last_used_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username", "prefix")
    ordering = ("-pk",)
    readonly_fields = ("owner", "first_characters", "created_at", "last_used_at")

    @admin.display(description=_("first characters"))
    def first_characters(self, key: ApiKey) -> str:
        """Return the first characters, by which its owner recognises it."""
        return f"{key.prefix}…"

    @admin.display(description=_("scopes"))
    def for_what(self, key: ApiKey) -> str:
        """Return the scopes, and the type that it is for."""
        return ", ".join([*key.scopes, *([key.type] if key.type else [])])

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Return what is asked for, and of a key that was made what is known."""
        return KeyForm.Meta.fields + (() if obj is None else self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Return nothing for a key that is being made."""
        return () if obj is None else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Return one's own keys, or all."""
        found: QuerySet[ApiKey] = super().get_queryset(request)
        if self._has_right(request, "view"):
            return found
        return found.filter(owner_id=request.user.pk)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whoever sees the keys of others finds them in the menu; all find their own in theirs."""
        return self._has_right(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Everybody, their own."""
        return self._is_own(request, obj) or self._has_right(request, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Everybody, for themselves."""
        return True

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody: whoever has a key relies on what it is for."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Everybody, their own."""
        return self._is_own(request, obj) or self._has_right(request, "delete")

    def _is_own(self, request: HttpRequest, key: ApiKey | None) -> bool:
        return key is None or key.owner_id == request.user.pk

    def _has_right(self, request: HttpRequest, right: str) -> bool:
        codename = get_permission_codename(right, self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Have the form know whose key it is."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.owner = request.user
        return form

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key."""
        assert request.user.is_authenticated
        made, secret = keys.make_key(
            owner=request.user,
            name=obj.name,
            scopes=obj.scopes,
            only_type=obj.type,
            expires_at=obj.expires_at,
        )
        vars(obj).update(vars(made), secret=secret)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret, once; no cookie, session or cache keeps it."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("The key is made"),
            "key": obj,
            "secret": vars(obj)["secret"],
        }
        headers = {"Cache-Control": "no-store"}
        return TemplateResponse(request, "api/key_made.html", context, headers=headers)

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        """Revoke the key."""
        assert request.user.is_authenticated
        keys.revoke_key(key=obj, by=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the keys."""
        for key in queryset:
            self.delete_model(request, key)

    def log_addition(self, request: HttpRequest, obj: ApiKey, message: Any) -> Any:
        """Leave it to `keys`, which adds it to the history of the owner's account."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> Any:
        """Leave it to `keys`, which adds it to the history of the owner's account."""
