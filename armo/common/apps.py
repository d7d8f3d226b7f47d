"""Django's admin, with the site of the theme."""

from django.contrib.admin.apps import AdminConfig as StockAdminConfig


class AdminConfig(StockAdminConfig):
    """
    Names the site; Django makes it when it is first asked for.

    The theme's own configuration puts a new site in its place each time that applications are
    loaded, also when they are loaded again: all that had been registered is then gone.
    """

    default_site = "unfold.sites.UnfoldAdminSite"
