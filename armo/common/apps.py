"""Django's admin, with the site of the theme."""

from django.contrib.admin.apps import AdminConfig as StockAdminConfig


class AdminConfig(StockAdminConfig):
    """
    Names the class of the admin's site; Django makes the site at its first use.

    The theme's own configuration replaces the site each time that applications are loaded, also
    when they are loaded again: all registrations would then be lost.
    """

    default_site = "unfold.sites.UnfoldAdminSite"
