from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, NotSupportedError, connection, transaction

from content.models import Story
from scheduling import operations
from scheduling.models.clock import database_now
from scheduling.models.sql import along_the_index, pipeline, prepared_cursor
from tests.factories import StoryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _afresh() -> None:
    """Begin with nothing prepared."""
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")


def schedule(story: Story) -> None:
    operations.schedule(item=story, run_at=database_now() + timedelta(hours=1), by=None)


def plans() -> dict[str, int]:
    """Return how often each prepared statement was carried out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements")
        return dict(cursor.fetchall())


class TestAnOperation:
    def test_has_its_statements_prepared_once(self) -> None:
        for _ in range(3):
            schedule(StoryFactory())

        assert sorted(plans().values()) == [3] * 5

    def test_is_not_behind_a_pooler(self, settings: Any) -> None:
        settings.QUEUE_LISTEN = False

        schedule(StoryFactory())

        assert not plans()

    def test_leaves_other_statements_alone(self) -> None:
        schedule(StoryFactory())
        before = plans()

        for _ in range(10):
            list(Story.objects.values_list("pk"))

        assert plans() == before


@pytest.mark.django_db(transaction=True)
class TestAColumnThatAMigrationHasChanged:
    def test_fails_one_operation(self) -> None:
        story, other = StoryFactory(), StoryFactory()
        schedule(story)
        with self.widened():
            with pytest.raises(NotSupportedError, match="cached plan"):
                schedule(other)
            schedule(other)

        other.refresh_from_db()
        assert other.status == "scheduled"

    @contextmanager
    def widened(self) -> Iterator[None]:
        alter = "ALTER TABLE content_story ALTER language TYPE varchar({})"
        with connection.cursor() as cursor:
            cursor.execute(alter.format(100))
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute(alter.format(16))


class TestAPreparedCursor:
    def test_is_djangos(self) -> None:
        seen: list[str] = []

        def note(execute: Any, sql: str, *args: Any) -> Any:
            seen.append(sql)
            return execute(sql, *args)

        with connection.execute_wrapper(note), prepared_cursor() as cursor:
            cursor.execute("SELECT %s::int", [1])
            assert cursor.fetchone() == (1,)

        assert seen == ["SELECT %s::int"]


class TestAPipeline:
    def test_raises_what_a_statement_raised_as_django_does(self) -> None:
        def send(number: int) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / %s", [number])

        # With a later one or at the end, as fast as the server is.
        with pytest.raises(DataError), transaction.atomic(), pipeline():
            list(map(send, (1, 0, 2)))

        assert database_now()

    def test_gives_an_answer_to_who_asks_for_it(self) -> None:
        with pipeline(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


class TestAlongTheIndex:
    def settings(self) -> tuple[str, str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('enable_sort'),"
                " current_setting('max_parallel_workers_per_gather')"
            )
            sort, helpers = cursor.fetchone()
        return sort, helpers

    def test_ends_with_the_block(self) -> None:
        with transaction.atomic():
            with along_the_index():
                assert self.settings() == ("off", "0")

            assert self.settings() == ("on", "2")

    def test_ends_with_a_transaction_that_was_aborted(self) -> None:
        with pytest.raises(DataError), transaction.atomic(), along_the_index():
            connection.cursor().execute("SELECT 1 / 0")

        assert self.settings() == ("on", "2")
