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
        from scheduling import receivers
        from scheduling.models import schedulable_models

        for model in schedulable_models():
            post_save.connect(receivers.follow_saved_item, sender=model)
            pre_delete.connect(receivers.forget_deleted_item, sender=model)
        post_migrate.connect(receivers.create_groups, dispatch_uid="armo-groups")
