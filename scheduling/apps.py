"""The publishing engine as a Django application."""

from types import ModuleType

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, post_save, pre_delete, pre_migrate
from django.utils.translation import gettext_lazy as _

from scheduling import conf


class SchedulingConfig(AppConfig):
    """The engine: jobs, their queue, and the workers."""

    name = "scheduling"
    verbose_name = _("Publishing")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        super().__init__(app_name, app_module)
        # Before django_q is imported, which reads its settings then.
        settings.Q_CLUSTER = conf.queue_settings()

    def import_models(self) -> None:
        """Load the models, or name the applications that they need."""
        self.require_applications()
        super().import_models()

    def ready(self) -> None:
        """Connect the signals: items may be saved or deleted without an operation."""
        from scheduling import (
            checks,  # noqa: F401 (it registers them)
            keepalives,
            schemas,
        )
        from scheduling.access import default_groups
        from scheduling.models import schedulable_models
        from scheduling.operations import signals

        for model in schedulable_models():
            post_save.connect(signals.follow_saved_item, sender=model)
            pre_delete.connect(signals.forget_deleted_item, sender=model)
        connection_created.connect(keepalives.set_in_session, dispatch_uid="armo-keepalives")
        pre_migrate.connect(schemas.create, dispatch_uid="armo-schema")
        post_migrate.connect(default_groups.create_groups, dispatch_uid="armo-groups")

    def require_applications(self) -> None:
        """
        Check that the applications are installed without which the models cannot be loaded.

        :raises ImproperlyConfigured:
        """
        assert self.apps
        needed = ("django.contrib.contenttypes", "django.contrib.auth", "django_q")
        if missing := [name for name in needed if not self.apps.is_installed(name)]:
            raise ImproperlyConfigured(
                f"'scheduling' needs {', '.join(map(repr, missing))} in INSTALLED_APPS."
            )
