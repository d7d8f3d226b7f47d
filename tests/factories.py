"""The smallest legal rows; a trait names the situation a row is in."""

# mypy: disallow-subclassing-any=false

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings

from content.models import Notice, Story
from scheduling.models import GUARDED, Job, Status

if TYPE_CHECKING:
    # factory-boy's own types say that a factory, when called, makes a factory.
    factory: Any
    DjangoModelFactory: Any
else:
    import factory
    from factory.django import DjangoModelFactory

# On days when clocks change somewhere, so that no test depends on a local time.
LONG_AGO = datetime(2025, 3, 30, 1, 0, 0, 123456, tzinfo=UTC)
FAR_OFF = datetime(2100, 10, 31, 1, 0, 0, 654321, tzinfo=UTC)


class UserFactory(DjangoModelFactory):
    class Meta:
        model = settings.AUTH_USER_MODEL

    username = factory.Sequence("user-{}".format)


class ItemFactory(DjangoModelFactory):
    class Meta:
        abstract = True

    class Params:
        scheduled = factory.Trait(status=Status.SCHEDULED, publish_at=FAR_OFF)
        due = factory.Trait(status=Status.SCHEDULED, publish_at=LONG_AGO)
        failed = factory.Trait(status=Status.FAILED, publish_at=LONG_AGO)
        published = factory.Trait(
            status=Status.PUBLISHED, publish_at=LONG_AGO, published_at=LONG_AGO
        )
        unpublished = factory.Trait(
            status=Status.UNPUBLISHED,
            publish_at=LONG_AGO,
            published_at=LONG_AGO,
            unpublish_at=LONG_AGO + timedelta(days=1),
        )

    title = factory.Sequence("제목 {}".format)
    body = "본문 “따옴표”"

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **fields: Any) -> Any:
        """Break what is live or scheduled as SQL does: a save refuses it."""
        item = model_class(*args, **fields)
        broken = {name: fields[name] for name in ("title", "body") if item.publish_problems()}
        if item.status not in GUARDED or not broken:
            return super()._create(model_class, *args, **fields)
        item = super()._create(model_class, *args, **{**fields, "title": "온전한", "body": "글"})
        model_class.objects.filter(pk=item.pk).update(**broken)
        Job.objects.of(item).update(item_title=broken["title"])
        for name, value in broken.items():
            setattr(item, name, value)
        return item


class StoryFactory(ItemFactory):
    class Meta:
        model = Story

    slug = factory.Sequence("글-{}".format)


class NoticeFactory(ItemFactory):
    class Meta:
        model = Notice
