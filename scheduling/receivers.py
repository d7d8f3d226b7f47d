"""What follows when an item is saved or deleted without an operation, and after `migrate`."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.utils.translation import gettext_noop

from scheduling import ledger, operations
from scheduling.models import Schedulable, schedulable_models


def follow_saved_item(
    *, instance: Schedulable, created: bool, raw: bool = False, **kwargs: Any
) -> None:
    """Bring the jobs in line, in the transaction of the save: their times, and the item's name."""
    if not created and not raw:
        ledger.rename_jobs(instance)
    # A fixture brings its jobs itself: loading it does not go through `save`, which sets this.
    if instance.has_new_wish:
        operations.reconcile(item=instance, reason=gettext_noop("The item was saved like this."))


def forget_deleted_item(*, instance: Schedulable, **kwargs: Any) -> None:
    """Cancel what is scheduled for an item, in the transaction that deletes it."""
    operations.forget(item=instance, reason=gettext_noop("The item was deleted."))


# Which permissions, beside those on jobs, each group has on every type of content.
GROUPS = {
    "Authors": ("add", "change", "view"),
    "Editors": ("add", "change", "delete", "view", "schedule", "publish"),
    "Operators": ("view", "schedule", "publish", "rerun"),
}
JOB_PERMISSIONS = {
    "Editors": ("view_job", "view_jobevent", "schedule_job"),
    "Operators": (
        *("view_job", "view_jobevent", "schedule_job"),
        *("rerun_job", "prune_job", "pause_job"),
    ),
}


def create_groups(*, using: str, **kwargs: Any) -> None:
    """
    Make the groups that do not exist yet.

    A group that exists is left as it is: its rights are the site's to change.
    """
    models = schedulable_models()
    for name, actions in GROUPS.items():
        wanted = set(JOB_PERMISSIONS.get(name, ()))
        wanted |= {f"{action}_{model._meta.model_name}" for model in models for action in actions}
        found = Permission.objects.using(using).filter(
            content_type__app_label__in={"scheduling", *(m._meta.app_label for m in models)},
            codename__in=wanted,
        )
        # post_migrate runs once an application: wait until the last of them has its permissions.
        if len(found) == len(wanted):
            group, created = Group.objects.using(using).get_or_create(name=name)
            if created:
                group.permissions.set(found)
