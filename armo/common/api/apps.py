"""The API's machinery as a Django application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ApiConfig(AppConfig):
    """Errors, pages, versions, tokens; knows no content."""

    name = "armo.common.api"
    verbose_name = "API"


class TokensConfig(AppConfig):
    """The package that stores tokens, under a name that people understand."""

    name = "knox"
    verbose_name = _("Access for programs")

    def ready(self) -> None:
        """Give its model a translated name: the package has none."""
        names = self.get_model("AuthToken")._meta
        names.verbose_name = _("access token")
        names.verbose_name_plural = _("access tokens")
