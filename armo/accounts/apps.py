"""People as a Django application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PeopleConfig(AppConfig):
    """What each person has chosen."""

    name = "armo.accounts"
    label = "people"
    verbose_name = _("People")

    def ready(self) -> None:
        """Remember what a person has chosen in each session that begins."""
        from django.contrib.auth.signals import user_logged_in

        from armo.accounts.middleware import remember_at_login

        user_logged_in.connect(remember_at_login, dispatch_uid="armo-preferences")
