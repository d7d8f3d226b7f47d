"""Receivers of signals: they update the jobs of an item that is saved or deleted directly."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.utils.translation import gettext_noop

from scheduling import operations
from scheduling.errors import Reason
from scheduling.models import PreviewLink, Schedulable, mirrored
from scheduling.operations import store

SAVED = Reason("item_saved", gettext_noop("The item was saved like this."))
DELETED = Reason("item_deleted", gettext_noop("The item was deleted."))


def follow_saved_item(
    *, instance: Schedulable, created: bool, raw: bool = False, **kwargs: Any
) -> None:
    """Update times and titles of the item's jobs, in the transaction of the save."""
    if not created and not raw:
        store.rename_jobs(instance)
    # `save` sets this. Loading a fixture does not call it: a fixture contains its own jobs.
    if instance.has_requested_change:
        operations.reconcile(item=instance, reason=SAVED, zone=_zone_of(instance))


def _zone_of(item: Schedulable) -> str:
    """Return the name of the time zone that a time was set in; empty if it is an instant."""
    times = (getattr(item, str(transition.time_field)) for transition in mirrored())
    zones = (getattr(getattr(at, "tzinfo", None), "key", "") for at in times)
    return next(filter(None, zones), "")


def forget_deleted_item(*, instance: Schedulable, **kwargs: Any) -> None:
    """Cancel the item's open jobs and end its preview links, in the transaction that deletes it."""
    operations.cancel_all(item=instance, reason=DELETED)
    # Another item may get the id, as from a fixture.
    content_type = ContentType.objects.get_for_model(instance)
    PreviewLink.objects.filter(content_type=content_type, object_id=instance.pk).delete()
