from collections.abc import Callable

import pytest

from scheduling.models import Schedulable
from scheduling.operations import store
from tests.database_rows import row
from tests.factories import NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db


class TestALockedItem:
    @pytest.mark.parametrize(
        "write",
        [
            lambda: StoryFactory(
                title="제목 “하나”", keywords=["낱말", "two"], extra={"a": [1, None]}
            ),
            lambda: StoryFactory(),
            lambda: NoticeFactory(),
        ],
    )
    def test_is_as_the_orm_reads_it(self, write: Callable[[], Schedulable]) -> None:
        item = write()

        locked = store.lock_item(item)

        assert locked is not None
        names = [field.attname for field in item._meta.concrete_fields]
        assert [getattr(locked, n) for n in names] == [getattr(row(item), n) for n in names]
        assert not locked.get_deferred_fields()
        assert (locked._state.adding, locked._state.db) == (False, "default")

    def test_is_none_when_it_is_gone(self) -> None:
        story = StoryFactory()
        type(story)._base_manager.filter(pk=story.pk).delete()

        assert store.lock_item(story) is None
