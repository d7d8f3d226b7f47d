"""Many items scheduled at one moment: all of them, or none."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from content.models import Story
from scheduling.models import Job, JobEvent, Status
from tests.api_clients import API, client_of, person, stories
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory

AT = FAR_OFF.isoformat()

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]


@pytest.fixture
def editor() -> User:
    return person(group="Editors")


@pytest.fixture
def bulk(editor: User) -> Any:
    def send(ids: Any, at: str = AT, route: str = "stories", **data: Any) -> Any:
        client: Any = client_of(editor)
        body = {"ids": ids, "publish_at": at, **data}
        return client.post(f"{API}/{route}/bulk/schedule/", body, format="json")

    return send


@pytest.mark.slow
class TestMany:
    def test_are_scheduled_together(self, bulk: Any, editor: User) -> None:
        made = stories(3)

        answer = bulk([it.pk for it in made], reason="봄 특집")

        assert answer.status_code == 200
        rows = {row["id"]: row["job"] for row in answer.json()["scheduled"]}
        assert rows == dict(Job.objects.values_list("object_id", "pk"))
        assert set(rows) == {it.pk for it in made}
        assert set(Story.objects.values_list("status", "publish_at")) == {("scheduled", FAR_OFF)}
        assert set(JobEvent.objects.values_list("by", "reason")) == {(editor.pk, "봄 특집")}

    def test_are_notices_too(self, bulk: Any) -> None:
        notice = NoticeFactory()

        assert bulk([notice.pk], route="notices").status_code == 200

        notice.refresh_from_db()
        assert notice.status == Status.SCHEDULED

    def test_that_are_scheduled_already_are_moved(self, bulk: Any) -> None:
        [one] = stories(1)
        bulk([one.pk])

        bulk([one.pk], FAR_OFF.replace(year=2101).isoformat())

        assert Job.objects.get().run_at.year == 2101

    def test_count_once_however_often_they_come(self, bulk: Any) -> None:
        [one] = stories(1)

        answer = bulk([one.pk] * 5)

        assert len(answer.json()["scheduled"]) == Job.objects.count() == 1

    def test_may_be_ten_thousand(self, bulk: Any) -> None:
        first = stories(1000)[0].pk

        answer = bulk(list(range(first, first + 10_000)))

        # Those that are not there are named one by one, and the others wait for them.
        assert answer.json()["code"] == "not_found"
        assert len(answer.json()["refusals"]) == 9_000
        assert not Job.objects.exists()

    @pytest.mark.parametrize("number", [0, 10_001])
    def test_may_not_be_none_or_more(self, bulk: Any, number: int) -> None:
        answer = bulk(list(range(1, number + 1)))

        assert answer.status_code == 400
        assert [it["field"] for it in answer.json()["errors"]] == ["ids"]

    def test_take_no_more_queries_than_few(self, bulk: Any) -> None:
        numbers = []
        bulk([it.pk for it in stories(1)])  # what is asked once a process
        for number in (2, 900):
            ids = [it.pk for it in stories(number)]
            with CaptureQueriesContext(connection) as context:
                assert bulk(ids).status_code == 200
            numbers.append(len(context))

        assert numbers[0] == numbers[1]


class TestARefusal:
    def test_names_each_item_and_schedules_none(self, bulk: Any) -> None:
        good, live = StoryFactory(), StoryFactory(published=True)
        blank = StoryFactory(body="")

        answer = bulk([good.pk, blank.pk, live.pk, 10**12])

        assert answer.status_code == 409
        refusals = {row["id"]: row for row in answer.json()["refusals"]}
        assert {pk: row["code"] for pk, row in refusals.items()} == {
            blank.pk: "not_publishable",
            live.pk: "invalid_transition",
            10**12: "not_found",
        }
        assert refusals[blank.pk]["problems"] == ["Its body is empty."]
        assert all(row["detail"] for row in refusals.values())
        good.refresh_from_db()
        assert (good.status, Job.objects.count()) == ("draft", 0)

    def test_of_a_time_that_has_passed_is_one(self, bulk: Any) -> None:
        answer = bulk([it.pk for it in stories(2)], "2001-01-01T00:00:00Z")

        assert (answer.status_code, answer.json()["code"]) == (400, "not_in_future")
        assert "refusals" not in answer.json()

    def test_does_not_reveal_what_one_may_not_see(self) -> None:
        user = person("content.schedule_story")
        hidden = StoryFactory(title="비밀")
        client: Any = client_of(user)

        answer = client.post(
            f"{API}/stories/bulk/schedule/", {"ids": [hidden.pk], "publish_at": AT}, format="json"
        )

        [refusal] = answer.json()["refusals"]
        assert refusal["code"] == "not_found"
        assert "비밀" not in answer.content.decode()
