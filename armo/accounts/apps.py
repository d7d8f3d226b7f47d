"""Configuration of the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PeopleConfig(AppConfig):
    """People and their preferences."""

    name = "armo.accounts"
    label = "people"
    verbose_name = _("People")

    def ready(self) -> None:
        """Have each new session load the person's preferences."""
        from django.contrib.auth.signals import user_logged_in

        from armo.accounts.middleware import remember_at_login

        user_logged_in.connect(remember_at_login, dispatch_uid="armo-preferences")
