"""Configuration of the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PeopleConfig(AppConfig):
    """People and their preferences."""

    name = "armo.accounts"
    label = "people"
    verbose_name = _("People")

    def ready(self) -> None:
        """Have new sessions load preferences; keep names of deleted accounts, and access."""
        from django.apps import apps
        from django.contrib.auth import get_user_model
        from django.contrib.auth.signals import user_logged_in
        from django.db.models.signals import pre_delete, pre_save

        from armo.accounts.history import keep_log_entries
        from armo.accounts.middleware import remember_at_login
        from armo.accounts.passwords import keep_access_when_hashed_anew

        user_logged_in.connect(remember_at_login, dispatch_uid="armo-preferences")
        for model in apps.get_models():
            # Also a proxy, by which a user may be deleted.
            if model._meta.concrete_model is get_user_model():
                pre_delete.connect(keep_log_entries, sender=model, dispatch_uid="armo-history")
                pre_save.connect(
                    keep_access_when_hashed_anew, sender=model, dispatch_uid="armo-passwords"
                )
