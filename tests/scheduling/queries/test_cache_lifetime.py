"""How long an answer may be kept: never past the next change that is scheduled."""

import re
from datetime import timedelta
from time import monotonic

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from content.models import Notice, Story
from scheduling.models import Status, clock
from scheduling.queries import cache_lifetime
from scheduling.queries.cache_lifetime import LONGEST_SECONDS, Freshness, seconds_until_next_change
from tests.database_rows import over
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class TestSecondsUntilNextChange:
    def test_are_none_when_nothing_is_scheduled(self) -> None:
        StoryFactory()
        StoryFactory(published=True)
        StoryFactory(failed=True)
        StoryFactory(unpublished=True)

        assert seconds_until_next_change(Story) is None

    def test_reach_to_the_first_start(self) -> None:
        now = clock.database_now()
        for wait in (HOUR, MINUTE, 2 * HOUR):
            StoryFactory(status=Status.SCHEDULED, publish_at=now + wait)

        assert seconds_until_next_change(Story) == pytest.approx(60, abs=10)

    def test_reach_to_the_first_end_when_that_is_nearer(self) -> None:
        now = clock.database_now()
        StoryFactory(status=Status.SCHEDULED, publish_at=now + HOUR, unpublish_at=now + 2 * HOUR)
        StoryFactory(published=True, unpublish_at=now + MINUTE)

        assert seconds_until_next_change(Story) == pytest.approx(60, abs=10)

    def test_do_not_reach_to_an_end_that_has_been(self) -> None:
        StoryFactory(unpublished=True)
        StoryFactory(failed=True, unpublish_at=LONG_AGO + HOUR)

        assert seconds_until_next_change(Story) is None

    def test_are_negative_when_something_is_overdue(self) -> None:
        StoryFactory(scheduled=True)
        StoryFactory(due=True)

        left = seconds_until_next_change(Story)

        assert left is not None
        assert left < 0

    def test_know_one_type_from_another(self) -> None:
        NoticeFactory(scheduled=True)

        assert seconds_until_next_change(Story) is None
        assert seconds_until_next_change(Notice) is not None

    def test_may_be_asked_of_one_item(self) -> None:
        now = clock.database_now()
        ending = StoryFactory(published=True, unpublish_at=now + HOUR)
        staying = StoryFactory(published=True)
        StoryFactory(due=True)

        assert seconds_until_next_change(Story, ending) == pytest.approx(3600, abs=10)
        assert seconds_until_next_change(Story, staying) is None

    def test_take_one_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        story = StoryFactory(scheduled=True)

        with django_assert_num_queries(1):
            seconds_until_next_change(Story)
        with django_assert_num_queries(1):
            seconds_until_next_change(Story, story)


@pytest.mark.slow
class TestTheQuery:
    @pytest.fixture
    def _many_rows(self) -> None:
        hours = [FAR_OFF + number * HOUR for number in range(200)]
        Story.objects.bulk_create(
            [
                *(StoryFactory.build(status=Status.SCHEDULED, publish_at=at) for at in hours),
                *(StoryFactory.build(published=True, unpublish_at=at) for at in hours),
                *StoryFactory.build_batch(600),
            ]
        )
        with connection.cursor() as cursor:
            # What other tests wrote and took back still fills the indexes, some more than others.
            cursor.execute("REINDEX TABLE content_story")
            cursor.execute("ANALYZE content_story")

    @pytest.mark.usefixtures("_many_rows")
    def test_takes_the_next_start_and_the_next_end_from_their_indexes(self) -> None:
        plan = cache_lifetime.next_changes(Story).explain(analyze=True)

        read = re.findall(r"using (\w+) .*actual time=\S+ rows=(\S+)", plan)
        assert read == [("story_due", "1.00"), ("story_ending", "1.00")]
        assert "Seq Scan" not in plan
        assert "Sort" not in plan

    @pytest.mark.usefixtures("_many_rows")
    def test_looks_one_item_up_by_its_number(self) -> None:
        plan = cache_lifetime.next_changes(Story, Story.objects.latest("pk")).explain()

        assert plan.count("using content_story_pkey") == 2


class TestFreshness:
    def test_lasts_the_longest_when_nothing_is_scheduled(self) -> None:
        assert Freshness.ask(Story).max_age() == LONGEST_SECONDS

    def test_lasts_no_longer_than_the_longest(self) -> None:
        StoryFactory(scheduled=True)

        assert Freshness.ask(Story).max_age() == LONGEST_SECONDS
        assert Freshness.ask(Story).max_age(longest=5) == 5

    def test_ends_in_whole_seconds_before_the_change(self) -> None:
        assert Freshness(seconds=30.9, asked_at=monotonic()).max_age() == 30

    def test_loses_the_time_since_it_was_asked(self) -> None:
        assert Freshness(seconds=30.9, asked_at=monotonic() - 10.5).max_age() == 20

    def test_is_over_when_the_change_came_meanwhile(self) -> None:
        assert Freshness(seconds=0.5, asked_at=monotonic() - 1).max_age() == 0

    def test_is_none_while_something_is_overdue(self) -> None:
        StoryFactory(due=True)

        assert Freshness.ask(Story).max_age() == 0


class TestLastEndOfAJob:
    def test_is_none_before_the_first(self) -> None:
        assert cache_lifetime.last_end_of_a_job() is None

    def test_is_that_of_the_last_whatever_it_did(self) -> None:
        over(StoryFactory(), finished_at=LONG_AGO + HOUR)
        over(NoticeFactory())

        assert cache_lifetime.last_end_of_a_job() == LONG_AGO + HOUR
