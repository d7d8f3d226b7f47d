"""
Who may do what.

Rights are Django's permissions on each type of content and on jobs. If the items of a type have an
owner (`Schedulable.OWNER`), people who may not schedule, publish or rerun them see published items
and their own. They may change their own only while these are drafts.
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

# Whoever has one of these rights decides on the items of others, and so sees them.
DECIDING = ("schedule", "publish", "rerun")


class NotAllowed(DomainError):
    """You have no right to do this."""

    code = "permission_denied"


def has_right(user: User, right: str, model: type[Model]) -> bool:
    """Return whether the person has a right, such as `schedule`, to rows of that model."""
    codename = get_permission_codename(right, model._meta)
    return bool(user.has_perm(f"{model._meta.app_label}.{codename}"))  # type: ignore[union-attr]  # users have permissions


def has_right_to_jobs_of(user: User, right: str, model: type[Model] | None) -> bool:
    """Return whether the person has a right to all jobs, or to those of this type."""
    return has_right(user, right, Job) or (model is not None and has_right(user, right, model))


def has_right_to(user: User, right: str, job: Job) -> bool:
    """Return whether the person has a right to this job."""
    model = ContentType.objects.get_for_id(job.content_type_id).model_class()
    return has_right_to_jobs_of(user, right, model)


def has_right_to_some_jobs(user: User, right: str) -> bool:
    """Return whether the person has a right to the jobs of any type."""
    return any(has_right_to_jobs_of(user, right, model) for model in [None, *schedulable_models()])


def sees_all(user: User, model: type[Schedulable]) -> bool:
    """Return whether the person sees every item of the type, whatever its status."""
    return has_right(user, "view", model) and (
        model.OWNER is None or any(has_right(user, right, model) for right in DECIDING)
    )


def visible_to(user: User, items: Rows) -> Rows:
    """Keep the items that the person may see; without a login, the published ones."""
    model = items.model
    if sees_all(user, model):
        return items
    seen = Q(status=Status.PUBLISHED)
    if model.OWNER is not None and has_right(user, "view", model):
        seen |= Q(**{model.OWNER: user.pk})
    return items.filter(seen)


def may_change(user: User, item: Schedulable) -> bool:
    """Return whether the person may change the content of an item."""
    return has_right(user, "change", type(item)) and _may_touch(user, item)


def may_delete(user: User, item: Schedulable) -> bool:
    """
    Return whether the person may delete an item, by the same rule as changing it.

    A live one is taken down by that: it needs the right to publish as well.
    """
    if item.is_published and not has_right(user, "publish", type(item)):
        return False
    return has_right(user, "delete", type(item)) and _may_touch(user, item)


def _may_touch(user: User, item: Schedulable) -> bool:
    model = type(item)
    if sees_all(user, model) or model.OWNER is None:
        return True
    is_own = getattr(item, f"{model.OWNER}_id") == user.pk
    return is_own and item.status == Status.DRAFT


def knows_history(user: User, item: Schedulable) -> bool:
    """Return whether the person may see the history of an item."""
    model = type(item)
    if has_right(user, "view", Job) or sees_all(user, model):
        return True
    return model.OWNER is not None and getattr(item, f"{model.OWNER}_id") == user.pk


def visible_jobs(user: User, jobs: Rows) -> Rows:
    """
    Keep the jobs that the person may see: of types of which they see all items, and of own items.

    Whether the person may use a page or route at all, its entry point checks.
    """
    models = schedulable_models()
    if all(sees_all(user, model) for model in models):
        # Including jobs of types that are not installed any more.
        return jobs
    whole, *own = conditions_of_visible_jobs(user)
    return jobs.filter(reduce(or_, own, whole))


def conditions_of_visible_jobs(user: User) -> list[Q]:
    """
    Return the condition of `visible_jobs` in parts, each of which can use an index.

    :returns: one for all types of which the person sees all items, then one for their own items of
        each other type.
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
