"""Configurations of applications that others made."""

from axes.apps import AppConfig as StockFailuresConfig
from django.contrib.admin.apps import AdminConfig as StockAdminConfig
from django.utils.translation import gettext_lazy as _


class AdminConfig(StockAdminConfig):
    """
    Names the class of the admin's site; Django makes the site at its first use.

    The theme's own configuration replaces the site each time that applications are loaded, also
    when they are loaded again: all registrations would then be lost.
    """

    default_site = "armo.common.site.AdminSite"


class FailuresConfig(StockFailuresConfig):  # type: ignore[misc]
    """The package that counts failed attempts to sign in."""

    verbose_name = _("Failed sign-ins")

    def ready(self) -> None:
        """Register the system check as well."""
        super().ready()
        from armo.common import sign_in  # noqa: F401 (it registers it)
