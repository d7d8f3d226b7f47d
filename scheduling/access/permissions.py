"""
Who may do what.

Rights are Django's permissions on each type of content and on jobs. Of a type whose items belong to
someone (`Schedulable.OWNER`), people who may neither schedule, publish nor rerun it see what
readers see and their own items, and change their own while they are drafts: what others have
decided on stays.
"""

from functools import reduce
from operator import or_
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
    return has_right(user, "change", type(item)) and _may_touch(user, item)


def may_delete(user: User, item: Schedulable) -> bool:
    """Return whether the person may delete an item, by the same rule as changing it."""
    return has_right(user, "delete", type(item)) and _may_touch(user, item)


def _may_touch(user: User, item: Schedulable) -> bool:
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
    """
    Keep the jobs that the person may see: of types whose items they all see, and of own items.

    Whether a page or a route is open to the person at all is for that entry point to ask.
    """
    models = schedulable_models()
    if all(sees_all(user, model) for model in models):
        # Also those of types that are not installed any more.
        return jobs
    whole, *own = conditions_of_visible_jobs(user)
    return jobs.filter(reduce(or_, own, whole))


def conditions_of_visible_jobs(user: User) -> list[Q]:
    """
    Return what `visible_jobs` asks for, in parts that an index can answer one by one.

    :returns: the condition of the types that the person sees all of, then one for their own items
        of each other type.
    """
    models = [model for model in schedulable_models() if has_right(user, "view", model)]
    whole = [model for model in models if sees_all(user, model)]
    types = ContentType.objects.get_for_models(*whole).values()
    own = [jobs_of_own_items(user, model) for model in models if model not in whole]
    return [Q(content_type__in=[each.pk for each in types]), *own]


def jobs_of_own_items(user: User, model: type[Schedulable]) -> Q:
    """Return the condition of jobs of the items of a type that belong to the person."""
    if model.OWNER is None:
        return Q(pk__in=[])
    own = model._base_manager.filter(**{model.OWNER: user.pk})
    content_type = ContentType.objects.get_for_model(model)
    return Q(content_type=content_type, object_id__in=own.values("pk"))
