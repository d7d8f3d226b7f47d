"""What an import answers for each file."""

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.translation import pgettext_lazy

from scheduling.errors import Why


class Outcome(models.TextChoices):
    """The outcome for one file."""

    CREATED = "created", pgettext_lazy("outcome", "created")
    UPDATED = "updated", pgettext_lazy("outcome", "updated")
    UNCHANGED = "unchanged", pgettext_lazy("outcome", "unchanged")
    SKIPPED = "skipped", pgettext_lazy("outcome", "skipped")
    FAILED = "failed", pgettext_lazy("outcome", "failed")


@dataclass(frozen=True)
class Result:
    """The result for one file; `notes` are for the person to read."""

    file: str
    outcome: Outcome
    item: str = ""  # as `story:42`; empty when there is none, also in a dry run
    status: str = ""
    notes: tuple[Why, ...] = ()
    slug: str = ""  # like the time, only of what was read anew
    publish_at: datetime | None = None  # of what was written, or would be
