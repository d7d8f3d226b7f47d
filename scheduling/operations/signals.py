"""What follows when an item is saved or deleted without an operation, and after `migrate`."""

from typing import Any

from django.utils.translation import gettext_noop

from scheduling import operations
from scheduling.models import Schedulable
from scheduling.operations import store


def follow_saved_item(
    *, instance: Schedulable, created: bool, raw: bool = False, **kwargs: Any
) -> None:
    """Bring the jobs in line, in the transaction of the save: their times, and the item's name."""
    if not created and not raw:
        store.rename_jobs(instance)
    # A fixture brings its jobs itself: loading it does not go through `save`, which sets this.
    if instance.has_requested_change:
        operations.reconcile(item=instance, reason=gettext_noop("The item was saved like this."))


def forget_deleted_item(*, instance: Schedulable, **kwargs: Any) -> None:
    """Cancel what is scheduled for an item, in the transaction that deletes it."""
    operations.cancel_all(item=instance, reason=gettext_noop("The item was deleted."))
