"""The publishing engine as a Django application."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save, pre_delete
from django.utils.translation import gettext_lazy as _


class SchedulingConfig(AppConfig):
    """The engine: jobs, their queue, and the worker."""

    name = "scheduling"
    verbose_name = _("Publishing")

    def ready(self) -> None:
        """Watch every type of content for changes that no operation made."""
        from scheduling.access import default_groups
        from scheduling.models import schedulable_models
        from scheduling.operations import signals

        for model in schedulable_models():
            post_save.connect(signals.follow_saved_item, sender=model)
            pre_delete.connect(signals.forget_deleted_item, sender=model)
        post_migrate.connect(default_groups.create_groups, dispatch_uid="armo-groups")
