"""The admin's site: the theme's, with forms that have every attempt at a password counted."""

# mypy: disallow-subclassing-any=false

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from armo.common import sign_in

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite as ThemedSite
    from django.contrib.admin.forms import AdminAuthenticationForm as SignInForm
    from django.contrib.auth.forms import PasswordChangeForm
else:
    from unfold.forms import AdminOwnPasswordChangeForm as PasswordChangeForm
    from unfold.forms import AuthenticationForm as SignInForm
    from unfold.sites import UnfoldAdminSite as ThemedSite


class LoginForm(SignInForm):
    """The user name and the password of somebody who may use the admin."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """
        Check whether the user may use the admin.

        :raises ValidationError: they may not; that is a failure, too, though the password is right.
        """
        try:
            super().confirm_login_allowed(user)  # type: ignore[arg-type]
        except ValidationError:
            credentials = {"username": user.get_username()}
            user_login_failed.send(__name__, credentials=credentials, request=self.request)
            raise


class OwnPasswordForm(PasswordChangeForm):
    """A new password, and the old one: whoever finds an open session does not know that."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    @sensitive_variables("old_password")
    def clean_old_password(self) -> str:
        """
        Check the old password, as at a sign-in.

        :raises ValidationError: it is wrong, or was so too often.
        """
        old_password: str = self.cleaned_data["old_password"]
        name = self.user.get_username()
        if sign_in.authenticate(self.request, username=name, password=old_password) is None:
            raise ValidationError(
                self.error_messages["password_incorrect"], code="password_incorrect"
            )
        return old_password


class AdminSite(ThemedSite):
    """The theme's site, with these forms, and without its colours, which are a file of ours."""

    login_form = LoginForm

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what every page is given; with colours, the theme writes a style into it."""
        return {**super().each_context(request), "colors": None}

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show the form that changes one's own password, or change it."""
        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=partial(OwnPasswordForm, request=request),
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)
