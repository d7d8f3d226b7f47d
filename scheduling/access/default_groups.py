"""The groups of a new site, and their permissions."""

from typing import Any

from django.contrib.auth.models import Group, Permission

from scheduling.models import schedulable_models

# The permissions of each group on every type of content.
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
    Create the groups that do not exist yet.

    Existing groups are not changed: the site decides on their permissions.
    """
    models = schedulable_models()
    for name, actions in GROUPS.items():
        wanted = set(JOB_PERMISSIONS.get(name, ()))
        wanted |= {f"{action}_{model._meta.model_name}" for model in models for action in actions}
        found = Permission.objects.using(using).filter(
            content_type__app_label__in={"scheduling", *(m._meta.app_label for m in models)},
            codename__in=wanted,
        )
        # post_migrate is sent once for each application: wait until all permissions exist.
        if len(found) == len(wanted):
            group, created = Group.objects.using(using).get_or_create(name=name)
            if created:
                group.permissions.set(found)
