"""The groups that a new site begins with, and their permissions."""

from typing import Any

from django.contrib.auth.models import Group, Permission

from scheduling.models import schedulable_models

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
