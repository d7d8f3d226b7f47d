"""Repeated requests: carried out once, with the same answer each time."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from threading import Barrier
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError, connection, transaction
from django.db.models import F

from armo.common.api.idempotency import FORGOTTEN_AT_ONCE
from armo.common.api.models import KeptAnswer
from content.models import Story
from scheduling import operations
from scheduling.models import Job, JobEvent
from tests.api_clients import API, client_of, number_waiting, person
from tests.conftest import InBackground
from tests.database_rows import everything
from tests.factories import FAR_OFF, StoryFactory
from tests.process.worker import wait_until

KEY = "01J9-한국".encode().hex()
AT = FAR_OFF.isoformat()
STORIES = f"{API}/stories/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]

Post = Callable[..., Any]


@pytest.fixture
def editor() -> User:
    return person(group="Editors")


@pytest.fixture
def post(editor: User) -> Post:
    def send(path: str, data: Any, key: str = KEY, **headers: str) -> Any:
        # As each request does: read the user anew, with their present rights.
        client: Any = client_of(User.objects.get(pk=editor.pk))
        return client.post(path, data, format="json", HTTP_IDEMPOTENCY_KEY=key, **headers)

    return send


class TestARepetition:
    def test_gets_the_answer_of_the_first(self, post: Post) -> None:
        first = post(STORIES, {"title": "봄"})
        again = post(STORIES, {"title": "봄"})

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert "Idempotency-Replayed" not in first
        assert again["Idempotency-Replayed"] == "true"
        for header in ("ETag", "Location", "Content-Type", "Cache-Control"):
            assert first[header] == again[header]
        assert Story.objects.count() == 1

    def test_of_a_job_gets_the_answer_of_the_first(self, post: Post) -> None:
        data = {"model": "story", "id": StoryFactory().pk, "kind": "publish", "run_at": AT}

        first, again = post(f"{API}/jobs/", data), post(f"{API}/jobs/", data)

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert again["Location"] == first["Location"]
        assert again["ETag"] == first["ETag"]
        assert Job.objects.get().events.count() == 1

    def test_is_the_same_however_its_json_is_written(self, editor: User) -> None:
        client: Any = client_of(editor)
        bodies = ['{"title": "t", "body": "b"}', '{"body":"b",\n"title":"\\u0074"}']

        answers = [
            client.generic("POST", STORIES, body, "application/json", HTTP_IDEMPOTENCY_KEY=KEY)
            for body in bodies
        ]

        assert answers[0].json() == answers[1].json()
        assert Story.objects.count() == 1

    @pytest.mark.parametrize(
        ("action", "data"),
        [("schedule", {"publish_at": AT}), ("publish", {}), ("bulk", {"publish_at": AT})],
    )
    def test_of_an_action_is_done_once(self, post: Post, action: str, data: Any) -> None:
        story = StoryFactory()
        path = f"{STORIES}{story.pk}/{action}/"
        if action == "bulk":
            path, data = f"{STORIES}bulk/schedule/", {**data, "ids": [story.pk]}

        answers = [post(path, data) for _ in range(3)]

        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].json() == answers[2].json()
        assert Job.objects.count() == 1

    def test_shows_the_answer_of_then_not_of_now(self, post: Post) -> None:
        story = StoryFactory()
        path = f"{STORIES}{story.pk}/schedule/"
        first = post(path, {"publish_at": AT})

        operations.unschedule(item=story, by=None)
        again = post(path, {"publish_at": AT})

        assert again.json() == first.json()
        assert not Job.objects.open().exists()

    @pytest.mark.parametrize(
        ("data", "status"), [({"title": 5}, 400), ({"status": "scheduled", "publish_at": AT}, 409)]
    )
    def test_of_what_was_refused_is_judged_anew(self, post: Post, data: Any, status: int) -> None:
        data = {"title": "", **data}
        first, again = post(STORIES, data), post(STORIES, data)

        assert (first.status_code, again.status_code) == (status, status)
        assert first.json() == again.json()
        assert again["Content-Type"] == "application/problem+json"
        assert "Idempotency-Replayed" not in again
        assert not KeptAnswer.objects.exists()

    def test_of_what_was_refused_is_done_when_it_can_be_done_by_now(self, post: Post) -> None:
        story = StoryFactory(body="")
        path = f"{STORIES}{story.pk}/publish/"
        refused = post(path, {})

        Story.objects.update(body="본문")
        done, again = post(path, {}), post(path, {})

        assert refused.json()["code"] == "not_publishable"
        assert (done.status_code, again.status_code) == (200, 200)
        assert again["Idempotency-Replayed"] == "true"

    def test_of_a_stale_version_may_bring_the_present_one(self, post: Post) -> None:
        path = f"{STORIES}{StoryFactory().pk}/publish/"

        stale = [post(path, {}, HTTP_IF_MATCH='"stale"') for _ in range(2)]
        done = post(path, {}, HTTP_IF_MATCH=stale[0]["ETag"])
        again = post(path, {}, HTTP_IF_MATCH=stale[0]["ETag"])

        assert [it.status_code for it in (*stale, done, again)] == [412, 412, 200, 200]
        assert again["Idempotency-Replayed"] == "true"

    @pytest.mark.parametrize("by", ["the route", "what it does"])
    def test_of_who_had_no_right_is_done_once_they_have(
        self, post: Post, editor: User, by: str
    ) -> None:
        # An author may write; publishing is refused by the route, scheduling by what it does.
        story = StoryFactory(author=editor)
        path = f"{STORIES}{story.pk}/publish/" if by == "the route" else STORIES
        data = {} if by == "the route" else {"title": "t", "status": "scheduled", "publish_at": AT}
        data |= {} if by == "the route" else {"body": "b"}
        editors, authors = (Group.objects.get(name=it) for it in ("Editors", "Authors"))

        editor.groups.set([authors])
        refused = post(path, data)
        editor.groups.set([editors])
        done = post(path, data)

        assert refused.status_code == 403
        assert done.status_code in (200, 201)

    def test_of_what_was_not_there_is_done_once_it_is(self, post: Post) -> None:
        path = f"{STORIES}9/publish/"

        gone = post(path, {})
        StoryFactory(pk=9)
        done = post(path, {})

        assert (gone.status_code, done.status_code) == (404, 200)

    def test_of_what_was_refused_may_have_another_body(self, post: Post) -> None:
        refused = post(STORIES, {"title": 5})
        done = post(STORIES, {"title": "5"})

        assert (refused.status_code, done.status_code) == (400, 201)

    def test_of_what_failed_here_is_tried_anew(self, post: Post) -> None:
        with patch("scheduling.api.viewsets.content_of", side_effect=RuntimeError):
            failed = post(STORIES, {"title": "t"})
        again = post(STORIES, {"title": "t"})

        assert (failed.status_code, again.status_code) == (500, 201)
        assert "Idempotency-Replayed" not in again

    def test_of_what_failed_halfway_finds_nothing_of_it(self, post: Post) -> None:
        data = {"model": "story", "id": StoryFactory().pk, "kind": "publish", "run_at": AT}
        before = everything()

        with patch("scheduling.api.viewsets.described", side_effect=RuntimeError):
            failed = post(f"{API}/jobs/", data)

        assert failed.status_code == 500
        assert everything() == before
        assert not KeptAnswer.objects.exists()

    def test_of_what_the_database_did_not_do_is_tried_anew(self, post: Post) -> None:
        with patch("scheduling.api.viewsets.content_of", side_effect=OperationalError):
            failed = post(STORIES, {"title": "t"})
        again = post(STORIES, {"title": "t"})

        assert (failed.status_code, again.status_code) == (503, 201)

    def test_of_who_may_no_longer_is_forbidden(self, post: Post, editor: User) -> None:
        post(STORIES, {"title": "t"})

        editor.groups.clear()
        forbidden = post(STORIES, {"title": "t"})

        assert forbidden.status_code == 403


class TestAKey:
    def test_is_of_one_body(self, post: Post) -> None:
        post(STORIES, {"title": "t"})

        refused = post(STORIES, {"title": "u"})

        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
        assert Story.objects.count() == 1

    def test_is_of_one_route(self, post: Post) -> None:
        post(STORIES, {"title": "t"})

        assert post(f"{API}/notices/", {"title": "t"}).status_code == 409

    def test_is_of_one_person(self, post: Post) -> None:
        post(STORIES, {"title": "t"})

        client: Any = client_of(person(group="Editors"))
        theirs = client.post(STORIES, {"title": "u"}, format="json", HTTP_IDEMPOTENCY_KEY=KEY)

        assert theirs.status_code == 201

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "키", "a\tb"])
    def test_is_printable_ascii(self, post: Post, key: str) -> None:
        refused = post(STORIES, {"title": "t"}, key)

        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == "Idempotency-Key"
        assert not Story.objects.exists()

    def test_is_kept_for_a_day(self, post: Post) -> None:
        post(STORIES, {"title": "t"})
        kept = KeptAnswer.objects.filter(key=KEY)

        kept.update(created_at=F("created_at") - timedelta(hours=23, minutes=59))
        within = post(STORIES, {"title": "t"})
        kept.update(created_at=F("created_at") - timedelta(minutes=2))
        after = post(STORIES, {"title": "t"})

        assert within["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in after
        assert Story.objects.count() == 2

    def test_that_is_old_is_forgotten_when_others_come(self, post: Post, editor: User) -> None:
        rows = [
            KeptAnswer(user=editor, key=f"old-{n}", fingerprint="x", status=200)
            for n in range(FORGOTTEN_AT_ONCE + 1)
        ]
        KeptAnswer.objects.bulk_create(rows)
        KeptAnswer.objects.update(created_at=F("created_at") - timedelta(hours=25))

        post(STORIES, {"title": "t"})

        assert KeptAnswer.objects.count() == 2

    def test_of_a_login_is_not_kept(self, post: Post) -> None:
        post(f"{API}/auth/login/", {"username": "a", "password": "b"})
        post(f"{API}/calendar/", {})

        assert not KeptAnswer.objects.exists()

    def test_means_nothing_where_nothing_is_posted(self, post: Post) -> None:
        path = f"{STORIES}{StoryFactory(published=True).pk}/"
        reader: Any = client_of()

        by_reader = reader.post(path, {}, format="json", HTTP_IDEMPOTENCY_KEY=KEY)
        by_editor = post(path, {})

        assert (by_reader.status_code, by_editor.status_code) == (405, 405)
        assert not KeptAnswer.objects.exists()

    def test_of_someone_without_a_login_is_not_kept(self) -> None:
        reader: Any = client_of()

        answer = reader.post(STORIES, {"title": "t"}, format="json", HTTP_IDEMPOTENCY_KEY=KEY)

        assert answer.status_code == 401
        assert not KeptAnswer.objects.exists()

    def test_means_nothing_to_other_methods(self, editor: User) -> None:
        client: Any = client_of(editor)
        path = f"{STORIES}{StoryFactory().pk}/"

        for title in ("eins", "zwei"):
            done = client.patch(path, {"title": title}, format="json", HTTP_IDEMPOTENCY_KEY=KEY)
            assert done.status_code == 200


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_are_done_once(self, in_background: InBackground, post: Post, editor: User) -> None:
        story = StoryFactory()
        path = f"{STORIES}{story.pk}/schedule/"
        barrier = Barrier(4)

        def send() -> Any:
            connection.ensure_connection()
            barrier.wait(20)
            return post(path, {"publish_at": AT})

        futures: list[Future[Any]] = [in_background(send) for _ in range(4)]
        answers = [future.result(20) for future in futures]

        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" in answer for answer in answers) == 3
        assert JobEvent.objects.count() == 1

    def test_wait_for_each_other(
        self, in_background: InBackground, post: Post, editor: User
    ) -> None:
        story = StoryFactory()
        path = f"{STORIES}{story.pk}/schedule/"
        with transaction.atomic():
            # One waits for the locked item; the other waits for the key.
            Story.objects.select_for_update().get()
            futures = [in_background(post, path, {"publish_at": AT}) for _ in range(2)]
            wait_until(lambda: number_waiting() == 2, seconds=20, what="both wait")
            seen = KeptAnswer.objects.count()
        answers = [future.result(20) for future in futures]

        assert seen == 0
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        assert sum("Idempotency-Replayed" in answer for answer in answers) == 1
        assert JobEvent.objects.count() == 1

    def test_of_different_bodies_are_not_both_done(
        self, in_background: InBackground, post: Post, editor: User
    ) -> None:
        story = StoryFactory()
        path = f"{STORIES}{story.pk}/schedule/"
        bodies = [{"publish_at": AT}, {"publish_at": AT, "reason": "비"}]
        with transaction.atomic():
            Story.objects.select_for_update().get()
            futures = [in_background(post, path, body) for body in bodies]
            wait_until(lambda: number_waiting() == 2, seconds=20, what="both wait")
        answers = [future.result(20) for future in futures]

        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert JobEvent.objects.count() == 1

    def test_are_both_judged_if_the_first_is_refused(
        self, in_background: InBackground, post: Post, editor: User
    ) -> None:
        path = f"{STORIES}{StoryFactory(body='').pk}/publish/"
        with transaction.atomic():
            Story.objects.select_for_update().get()
            futures = [in_background(post, path, {}) for _ in range(2)]
            wait_until(lambda: number_waiting() == 2, seconds=20, what="both wait")
        answers = [future.result(20) for future in futures]

        assert [answer.status_code for answer in answers] == [409, 409]
        assert not KeptAnswer.objects.exists()

    def test_of_different_keys_are_both_done(
        self, in_background: InBackground, post: Post, editor: User
    ) -> None:
        path = f"{STORIES}{StoryFactory().pk}/schedule/"
        with transaction.atomic():
            Story.objects.select_for_update().get()
            futures = [in_background(post, path, {"publish_at": AT}, key) for key in "ab"]
            wait_until(lambda: number_waiting() == 2, seconds=20, what="both wait")
        answers = [future.result(20) for future in futures]

        assert [answer.status_code for answer in answers] == [200, 200]
        assert not any("Idempotency-Replayed" in answer for answer in answers)

    def test_are_two_when_the_first_came_to_nothing(self, post: Post) -> None:
        with patch.object(KeptAnswer, "save", side_effect=SystemExit), pytest.raises(SystemExit):
            post(STORIES, {"title": "t"})

        assert not KeptAnswer.objects.exists()
        assert not Story.objects.exists()
        assert post(STORIES, {"title": "t"}).status_code == 201
