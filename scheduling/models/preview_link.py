"""The addresses at which people without a login see an item that is not live."""

from typing import ClassVar

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models

from scheduling.models.expressions import ClockTimestamp


class PreviewLink(models.Model):
    """A link to a preview of one item; it ends at `expires_at`, or when the row is deleted."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    object_id = models.BigIntegerField()
    # SHA-256 of the secret at the end of the address, 256 random bits, as of a calendar link.
    digest = models.CharField(max_length=64, editable=False, unique=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    made_at = models.DateTimeField(db_default=ClockTimestamp())
    expires_at = models.DateTimeField()
    # `published_at` of the item at that time. One that has been live since and is no more was
    # taken down after the link was made.
    published_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(name="preview_link_of_item", fields=["content_type", "object_id"]),
            models.Index(name="preview_link_end", fields=["expires_at"]),
        ]

    def __str__(self) -> str:
        return f"preview link {self.pk}"
