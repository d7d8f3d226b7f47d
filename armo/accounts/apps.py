"""Configuration of the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PeopleConfig(AppConfig):
    """People and their preferences."""

    name = "armo.accounts"
    label = "people"
    verbose_name = _("People")

    def ready(self) -> None:
        """Have each new session load the person's preferences; keep names of deleted accounts."""
        from django.apps import apps
        from django.contrib.auth import get_user_model
        from django.contrib.auth.signals import user_logged_in
        from django.db.models.signals import pre_delete

        from armo.accounts.history import keep_log_entries
        from armo.accounts.middleware import remember_at_login

        user_logged_in.connect(remember_at_login, dispatch_uid="armo-preferences")
        for model in apps.get_models():
            # Also a proxy, by which a user may be deleted.
            if model._meta.concrete_model is get_user_model():
                pre_delete.connect(keep_log_entries, sender=model, dispatch_uid="armo-history")
