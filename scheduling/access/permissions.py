"""
Who may do what.

Rights are Django's permissions on each type of content and on jobs. Of a type whose items belong to
someone (`Schedulable.OWNER`), whoever may neither schedule, publish nor rerun it sees what readers
see and his own, and changes his own while they are drafts: what others have decided on stays.
"""

from typing import Any, TypeVar

from django.contrib.auth import get_permission_codename
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet

from scheduling.errors import DomainError
from scheduling.models import Job, Schedulable, Status, schedulable_models

User = AbstractBaseUser | AnonymousUser
Rows = TypeVar("Rows", bound=QuerySet[Any])

# Who has one of these decides on others' items, and so has to see them.
DECIDING = ("schedule", "publish", "rerun")


class NotAllowed(DomainError):
    """You have no right to do this."""

    code = "permission_denied"


def has_right(user: User, right: str, model: type[Model]) -> bool:
    """Return whether the person may do this to rows of that model: `schedule`, `publish`, ..."""
    codename = get_permission_codename(right, model._meta)
    return bool(user.has_perm(f"{model._meta.app_label}.{codename}"))  # type: ignore[union-attr]  # users have permissions


def has_right_to_jobs_of(user: User, right: str, model: type[Model] | None) -> bool:
    """Return whether the person may do this to all jobs, or to those of this type."""
    return has_right(user, right, Job) or (model is not None and has_right(user, right, model))


def has_right_to(user: User, right: str, job: Job) -> bool:
    """Return whether the person may do this to this job."""
    model = ContentType.objects.get_for_id(job.content_type_id).model_class()
    return has_right_to_jobs_of(user, right, model)


def has_right_to_some_jobs(user: User, right: str) -> bool:
    """Return whether there may be a job that the person may do this to."""
    return any(has_right_to_jobs_of(user, right, model) for model in [None, *schedulable_models()])


def sees_all(user: User, model: type[Schedulable]) -> bool:
    """Return whether the person sees every item of the type, whatever its status."""
    return has_right(user, "view", model) and (
        model.OWNER is None or any(has_right(user, right, model) for right in DECIDING)
    )


def visible_to(user: User, items: Rows) -> Rows:
    """Keep the items that the person may see; without a login, what is published."""
    model = items.model
    if sees_all(user, model):
        return items
    seen = Q(status=Status.PUBLISHED)
    if model.OWNER is not None and has_right(user, "view", model):
        seen |= Q(**{model.OWNER: user.pk})
    return items.filter(seen)


def may_change(user: User, item: Schedulable) -> bool:
    """Return whether the person may change what an item says."""
    return has_right(user, "change", type(item)) and _is_his_to_touch(user, item)


def may_delete(user: User, item: Schedulable) -> bool:
    """Return whether the person may delete an item: what is not his to change is not either."""
    return has_right(user, "delete", type(item)) and _is_his_to_touch(user, item)


def _is_his_to_touch(user: User, item: Schedulable) -> bool:
    model = type(item)
    if sees_all(user, model) or model.OWNER is None:
        return True
    is_own = getattr(item, f"{model.OWNER}_id") == user.pk
    return is_own and item.status == Status.DRAFT


def knows_history(user: User, item: Schedulable) -> bool:
    """Return whether the person may know who has decided what on an item, and why."""
    model = type(item)
    if has_right(user, "view", Job) or sees_all(user, model):
        return True
    return model.OWNER is not None and getattr(item, f"{model.OWNER}_id") == user.pk


def visible_jobs(user: User, jobs: Rows) -> Rows:
    """Keep the jobs of the types that the person may see; whether jobs at all is the door's."""
    models = schedulable_models()
    seen = [model for model in models if sees_all(user, model)]
    if len(seen) == len(models):
        return jobs
    types = ContentType.objects.get_for_models(*seen).values()
    return jobs.filter(content_type__in=[each.pk for each in types])
