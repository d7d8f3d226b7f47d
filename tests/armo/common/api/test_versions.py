"""Versions: answers that need not be sent again, and lost updates."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from armo.common.api import versions
from content.models import Category, Story, Tag
from scheduling import operations
from scheduling.models import Job, JobEvent, Kind, Schedulable, Status, clock
from scheduling.worker import job_runner
from tests.api_clients import API, client_of, number_waiting, person, stories, superuser
from tests.conftest import InBackground
from tests.database_rows import everything, row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.process.worker import wait_until
from tests.scheduling.api.test_api_rights import failed_job

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
AT = FAR_OFF.isoformat()
STALE = '"stale"'
EARLY = datetime(2001, 1, 1, tzinfo=UTC)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]


@pytest.fixture
def client() -> Any:
    return client_of(superuser())


def http(at: datetime) -> str:
    """Return the time as headers have it."""
    return format_datetime(at.astimezone(UTC), usegmt=True)


class TestAReader:
    @pytest.mark.parametrize("kind", ["stories", "notices"])
    def test_is_not_sent_again_what_they_have(self, kind: str) -> None:
        make = {"stories": StoryFactory, "notices": NoticeFactory}[kind]
        item = make(published=True)
        # Within the second of a change `Last-Modified` is still that second.
        type(item).objects.update(updated_at=LONG_AGO)
        path = f"{API}/{kind}/{item.pk}/"
        first = client_of().get(path)

        by_tag = client_of().get(path, HTTP_IF_NONE_MATCH=first["ETag"])
        by_date = client_of().get(path, HTTP_IF_MODIFIED_SINCE=first["Last-Modified"])
        of_another = client_of().get(path, HTTP_IF_NONE_MATCH=STALE)

        assert [it.status_code for it in (first, by_tag, by_date, of_another)] == [
            *(200, 304, 304, 200)
        ]
        for known in (by_tag, by_date):
            assert known.content == b""
            assert known["ETag"] == first["ETag"]
            assert known["Last-Modified"] == first["Last-Modified"]
            assert "max-age" in known["Cache-Control"]

    @pytest.mark.parametrize("path", ["stories/", "notices/", "jobs/"])
    def test_of_a_list_is_not_sent_it_again(self, client: Any, path: str) -> None:
        operations.schedule(item=NoticeFactory(), run_at=FAR_OFF, by=None)
        StoryFactory()
        first = client.get(f"{API}/{path}")

        again = client.get(f"{API}/{path}", HTTP_IF_NONE_MATCH=first["ETag"])
        operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        NoticeFactory()
        changed = client.get(f"{API}/{path}", HTTP_IF_NONE_MATCH=first["ETag"])

        assert (again.status_code, again.content, changed.status_code) == (304, b"", 200)

    def test_of_a_job_is_not_sent_it_again(self, client: Any) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        first = client.get(f"{API}/jobs/{job.pk}/")

        again = client.get(f"{API}/jobs/{job.pk}/", HTTP_IF_NONE_MATCH=first["ETag"])
        operations.move(job=job, run_at=FAR_OFF + HOUR, by=None)
        moved = client.get(f"{API}/jobs/{job.pk}/", HTTP_IF_NONE_MATCH=first["ETag"])

        assert (again.status_code, moved.status_code) == (304, 200)

    def test_may_ask_for_the_head_alone(self) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"

        head = client_of().head(path)

        assert (head.status_code, head.content) == (200, b"")
        assert head["ETag"] == client_of().get(path)["ETag"]

    @pytest.mark.parametrize("known", ["W/{}", f"{STALE}, {{}}", "*"])
    @pytest.mark.parametrize("method", ["get", "head"])
    def test_may_name_what_they_have_in_any_way(self, known: str, method: str) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"
        first = client_of().get(path)

        again = getattr(client_of(), method)(path, HTTP_IF_NONE_MATCH=known.format(first["ETag"]))

        assert (again.status_code, again.content) == (304, b"")
        assert "Content-Type" not in again
        assert again["Vary"] == first["Vary"]

    @pytest.mark.parametrize(("later", "status"), [(-SECOND, 200), (HOUR, 304)])
    def test_is_sent_what_has_changed_after_the_time_they_name(
        self, later: timedelta, status: int
    ) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"
        changed_at = parsedate_to_datetime(client_of().get(path)["Last-Modified"])

        answer = client_of().get(path, HTTP_IF_MODIFIED_SINCE=http(changed_at + later))

        assert answer.status_code == status

    def test_is_asked_for_their_version_before_their_time(self) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"

        answer = client_of().get(
            path, HTTP_IF_NONE_MATCH=STALE, HTTP_IF_MODIFIED_SINCE=http(FAR_OFF)
        )

        assert answer.status_code == 200

    def test_is_sent_what_went_live_since_though_nobody_edited_it(self) -> None:
        story = StoryFactory(due=True)
        Story.objects.update(updated_at=LONG_AGO)

        job_runner.run_everything_due()

        path = f"{API}/stories/{story.pk}/"
        answer = client_of().get(path, HTTP_IF_MODIFIED_SINCE=http(LONG_AGO + HOUR))
        assert answer.status_code == 200
        live_at = row(story).published_at.replace(microsecond=0)
        assert parsedate_to_datetime(answer["Last-Modified"]) >= live_at

    def test_is_sent_what_was_scheduled_since_though_nobody_edited_it(self, client: Any) -> None:
        story = StoryFactory()
        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        Story.objects.update(updated_at=LONG_AGO)

        path = f"{API}/stories/{story.pk}/"
        answer = client.get(path, HTTP_IF_MODIFIED_SINCE=http(LONG_AGO + HOUR))

        assert answer.status_code == 200

    def test_of_a_page_is_sent_the_next(self) -> None:
        stories(4, published=True)
        first = client_of().get(f"{API}/stories/?page_size=2")

        second = client_of().get(first.json()["next"], HTTP_IF_NONE_MATCH=first["ETag"])

        assert second.status_code == 200

    def test_who_has_logged_in_is_sent_what_they_see_now(self, client: Any) -> None:
        StoryFactory()
        known = client_of().get(f"{API}/stories/")["ETag"]

        assert client.get(f"{API}/stories/", HTTP_IF_NONE_MATCH=known).status_code == 200


class TestATag:
    def test_is_another_after_every_change(self, client: Any) -> None:
        author = person()
        story = StoryFactory(author=author)
        path = f"{API}/stories/{story.pk}/"

        def change(**fields: Any) -> None:
            assert client.patch(path, fields, format="json").status_code == 200

        tags = [client.get(path)["ETag"]]
        for do in (
            lambda: change(title="neu"),
            lambda: change(tags=["봄"]),
            lambda: change(tags=["봄", "비"]),
            lambda: change(categories=["비"], tags=["봄"]),
            lambda: Tag.objects.filter(name="봄").update(name="여름"),
            lambda: author.delete(),
            lambda: operations.schedule(item=story, run_at=FAR_OFF, by=None),
            lambda: operations.schedule(item=story, run_at=FAR_OFF + HOUR, by=None),
            lambda: operations.publish_now(item=story, by=None),
        ):
            do()
            tags.append(client.get(path)["ETag"])

        assert len(set(tags)) == len(tags)

    @pytest.mark.parametrize("field", ["tags", "categories"])
    def test_is_another_after_every_change_of_a_name(self, client: Any, field: str) -> None:
        model: Any = {"tags": Tag, "categories": Category}[field]
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"
        spring, rain = (model.objects.create(name=name) for name in ("봄", "비"))
        changes: list[Callable[[], object]] = [
            lambda: getattr(story, field).add(spring),
            lambda: getattr(story, field).add(rain),
            lambda: model.objects.filter(pk=rain.pk).update(name="눈"),
            lambda: spring.delete(),
        ]

        tags = [client.get(path)["ETag"]]
        for change in changes:
            change()
            tags.append(client.get(path)["ETag"])

        assert len(set(tags)) == len(tags)

    def test_knows_a_tag_from_a_category(self, client: Any) -> None:
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"
        story.tags.add(Tag.objects.create(name="봄"))
        before = client.get(path)["ETag"]

        story.tags.clear()
        story.categories.add(Category.objects.create(name="봄"))

        assert client.get(path)["ETag"] != before

    @pytest.mark.parametrize(("body", "status"), [("본문", "published"), ("", "failed")])
    def test_is_another_after_a_worker_changed_the_status(
        self, client: Any, body: str, status: str
    ) -> None:
        story = StoryFactory(due=True, body=body)
        job = Job.objects.get()
        paths = [f"{API}/stories/{story.pk}/", f"{API}/jobs/{job.pk}/"]
        before = [client.get(path)["ETag"] for path in paths]

        job_runner.run_everything_due()

        assert row(story).status == status
        for path, etag in zip(paths, before, strict=True):
            assert client.get(path)["ETag"] != etag

    def test_of_a_job_is_another_after_its_item_was_renamed(self, client: Any) -> None:
        story = StoryFactory(scheduled=True)
        path = f"{API}/jobs/{Job.objects.get().pk}/"
        before = client.get(path)

        client.patch(f"{API}/stories/{story.pk}/", {"title": "가을"}, format="json")

        after = client.get(path, HTTP_IF_NONE_MATCH=before["ETag"])
        assert after.json()["item_title"] == "가을"

    def test_of_a_job_is_another_after_each_attempt(
        self, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(story: Story) -> list[str]:
            raise RuntimeError

        StoryFactory(due=True)
        job = Job.objects.get()
        path = f"{API}/jobs/{job.pk}/"
        before = client.get(path)["ETag"]
        monkeypatch.setattr(Story, "publish_problems", fail)

        with pytest.raises(RuntimeError):
            job_runner.run_alone(job.pk)

        after = client.get(path)
        assert (after.json()["attempts"], after.json()["state"]) == (1, "retrying")
        assert after["ETag"] != before

    def test_comes_with_the_answer_of_a_write(self, client: Any) -> None:
        made = client.post(f"{API}/stories/", {"title": "t"}, format="json")
        path = f"{API}/stories/{made.json()['id']}/"
        read = client.get(path)["ETag"]
        changed = client.patch(path, {"title": "u"}, format="json")

        assert made["ETag"] == read
        assert changed["ETag"] == client.get(path)["ETag"] != read

    def test_is_of_one_item_alone(self, client: Any) -> None:
        one, other = (client.get(f"{API}/stories/{StoryFactory().pk}/")["ETag"] for _ in "ab")

        assert one != other


WRITES: list[Any] = [
    pytest.param({}, "patch", "", {"title": "neu"}, id="change"),
    pytest.param({}, "patch", "", {"status": "scheduled", "publish_at": AT}, id="scheduled"),
    pytest.param({}, "delete", "", None, id="delete"),
    pytest.param({}, "post", "schedule/", {"publish_at": AT}, id="schedule"),
    pytest.param({"is_scheduled": True}, "post", "unschedule/", {}, id="unschedule"),
    pytest.param({}, "post", "publish/", {}, id="publish"),
    pytest.param({"published": True}, "post", "unpublish/", {}, id="unpublish"),
]


class TestAWriteOfAnItem:
    @pytest.fixture(params=["stories", "notices"])
    def kind(self, request: Any) -> str:
        return str(request.param)

    def made(self, kind: str, state: dict[str, Any]) -> Schedulable:
        make = {"stories": StoryFactory, "notices": NoticeFactory}[kind]
        fields = {name: value for name, value in state.items() if name != "is_scheduled"}
        item: Schedulable = make(**fields)
        if "is_scheduled" in state:
            operations.schedule(item=item, run_at=FAR_OFF, by=None)
        return item

    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_of_the_version_one_knows_goes_through(
        self, client: Any, kind: str, state: Any, method: str, action: str, data: Any
    ) -> None:
        path = f"{API}/{kind}/{self.made(kind, state).pk}/"
        known = client.get(path)["ETag"]

        done = getattr(client, method)(
            path + action, data, format="json", HTTP_IF_MATCH=f"{STALE}, {known}"
        )

        assert done.status_code in (200, 204)

    @pytest.mark.parametrize("stale", [STALE, f"W/{STALE}", "nonsense", ""])
    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_of_another_version_changes_nothing(
        self, client: Any, kind: str, state: Any, method: str, action: str, data: Any, stale: str
    ) -> None:
        item = self.made(kind, state)
        path = f"{API}/{kind}/{item.pk}/"
        before = client.get(path)
        jobs = Job.objects.count()

        refused = getattr(client, method)(path + action, data, format="json", HTTP_IF_MATCH=stale)

        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (412, "version_conflict")
        assert problem["current_etag"] == refused["ETag"] == before["ETag"]
        assert problem["current_version"] == before.json()["version"]
        assert client.get(path).json() == before.json()
        assert Job.objects.count() == jobs

    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_of_the_version_before_changes_nothing(
        self, client: Any, kind: str, state: Any, method: str, action: str, data: Any
    ) -> None:
        item = self.made(kind, state)
        path = f"{API}/{kind}/{item.pk}/"
        known = client.get(path)["ETag"]
        row(item).save()
        before = everything()

        refused = getattr(client, method)(path + action, data, format="json", HTTP_IF_MATCH=known)

        assert refused.status_code == 412
        assert refused["ETag"] != known
        assert everything() == before

    def test_goes_through_with_the_version_that_the_refusal_named(
        self, client: Any, kind: str
    ) -> None:
        path = f"{API}/{kind}/{self.made(kind, {}).pk}/"
        refused = client.patch(path, {"title": "neu"}, format="json", HTTP_IF_MATCH=STALE)

        done = client.patch(path, {"title": "neu"}, format="json", HTTP_IF_MATCH=refused["ETag"])

        assert (done.status_code, done.json()["title"]) == (200, "neu")

    def test_is_refused_when_a_worker_published_it_meanwhile(self, client: Any, kind: str) -> None:
        item = self.made(kind, {"due": True})
        path = f"{API}/{kind}/{item.pk}/"
        known = client.get(path)["ETag"]
        job_runner.run_everything_due()

        refused = client.delete(path, HTTP_IF_MATCH=known)

        assert refused.status_code == 412
        assert row(item).is_published

    def test_is_refused_when_a_tag_has_come_meanwhile(self, client: Any) -> None:
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"
        known = client.get(path)["ETag"]
        story.tags.add(Tag.objects.create(name="봄"))

        refused = client.patch(path, {"tags": []}, format="json", HTTP_IF_MATCH=known)

        assert refused.status_code == 412
        assert story.tags.count() == 1

    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_goes_through_whatever_the_version_when_that_is_said(
        self, client: Any, kind: str, state: Any, method: str, action: str, data: Any
    ) -> None:
        path = f"{API}/{kind}/{self.made(kind, state).pk}/"

        done = getattr(client, method)(path + action, data, format="json", HTTP_IF_MATCH="*")

        assert done.status_code in (200, 204)

    def test_of_what_is_not_there_is_not_found(self, client: Any, kind: str) -> None:
        gone = client.patch(f"{API}/{kind}/1/", {}, format="json", HTTP_IF_MATCH=STALE)

        assert gone.status_code == 404


class TestAWriteOfAJob:
    @pytest.fixture(params=["move", "cancel", "rerun"])
    def write(self, request: Any) -> tuple[Job, str, dict[str, Any]]:
        data = {"run_at": (FAR_OFF + HOUR).isoformat()} if request.param == "move" else {}
        if request.param == "rerun":
            job = failed_job(StoryFactory())
        else:
            job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        return job, f"{API}/jobs/{job.pk}/", {"action": request.param, "data": data}

    def test_of_the_version_one_knows_goes_through(self, client: Any, write: Any) -> None:
        _, path, how = write
        known = client.get(path)["ETag"]

        done = client.post(
            f"{path}{how['action']}/", how["data"], format="json", HTTP_IF_MATCH=known
        )

        assert done.status_code == 200
        assert done["ETag"] == client.get(path)["ETag"] != known

    def test_goes_through_whatever_the_version_when_that_is_said(
        self, client: Any, write: Any
    ) -> None:
        _, path, how = write

        done = client.post(f"{path}{how['action']}/", how["data"], format="json", HTTP_IF_MATCH="*")

        assert done.status_code == 200

    @pytest.mark.parametrize("stale", [STALE, f"W/{STALE}", ""])
    def test_of_another_version_changes_nothing(self, client: Any, write: Any, stale: str) -> None:
        _, path, how = write
        known = client.get(path)["ETag"]
        before = everything()

        refused = client.post(
            f"{path}{how['action']}/", how["data"], format="json", HTTP_IF_MATCH=stale
        )

        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (412, "version_conflict")
        assert refused["ETag"] == problem["current_etag"] == known
        assert "current_version" in problem
        assert everything() == before

    def test_of_the_version_before_changes_nothing(self, client: Any, write: Any) -> None:
        job, path, how = write
        known = client.get(path)["ETag"]
        if how["action"] == "rerun":
            operations.rerun(job=job, by=None)
        else:
            # Changed and changed back: it looks as before, but its version differs.
            operations.move(job=job, run_at=FAR_OFF + 2 * HOUR, by=None)
            operations.move(job=job, run_at=FAR_OFF, by=None)
        before = everything()

        refused = client.post(
            f"{path}{how['action']}/", how["data"], format="json", HTTP_IF_MATCH=known
        )

        assert refused.status_code == 412
        assert everything() == before


# What proxies make of `"abc"` when they compress.
CHANGED_BY_PROXIES = [
    pytest.param('W/"{}"', id="nginx, Varnish, Cloudflare"),
    pytest.param('"{}-gzip"', id="Apache, Caddy"),
    pytest.param('"{}-br"', id="mod_brotli"),
    pytest.param('W/"{}-gzip"', id="two of them"),
    pytest.param('"{}--gzip"', id="Jetty"),
    pytest.param('"{}--gzip--br"', id="Jetty, twice"),
    pytest.param('"{};gzip"', id="IBM"),
    pytest.param('"{}:dtagent10"', id="an agent"),
    pytest.param('"other", W/"{}", "third"', id="of a list"),
    pytest.param('"other" ,"{}-zstd"', id="of a list without blanks"),
]
OTHERS = ['"x{}"', '"{}x"', '"{}', "{}", 'w/"{}"', '"{}-gzip', '"a, {}"', '""', ","]


class TestATagBehindAProxy:
    @pytest.mark.parametrize("changed", CHANGED_BY_PROXIES)
    def test_is_known_where_nothing_need_be_sent_again(self, changed: str) -> None:
        paths = [f"{API}/stories/{StoryFactory(published=True).pk}/", f"{API}/stories/"]
        for path in [*paths, f"{API}/stories/?page_size=1", "/feeds/stories/"]:
            first = client_of().get(path)
            sent = changed.format(first["ETag"].strip('"'))

            again = client_of().get(path, HTTP_IF_NONE_MATCH=sent)

            assert (again.status_code, again.content) == (304, b"")
            # As the proxy named it, or its cache would not find what it keeps.
            assert again["ETag"] in sent
            assert first["ETag"].strip('"') in again["ETag"]

    @pytest.mark.parametrize("changed", CHANGED_BY_PROXIES)
    @pytest.mark.parametrize("kind", ["stories", "jobs"])
    def test_is_known_to_a_write(self, client: Any, kind: str, changed: str) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        path = f"{API}/{kind}/{job.object_id if kind == 'stories' else job.pk}/"
        sent = changed.format(client.get(path)["ETag"].strip('"'))
        action = "unschedule" if kind == "stories" else "cancel"

        done = client.post(f"{path}{action}/", {}, format="json", HTTP_IF_MATCH=sent)

        assert done.status_code == 200

    @pytest.mark.parametrize("other", OTHERS)
    def test_is_not_taken_for_another(self, client: Any, other: str) -> None:
        path = f"{API}/stories/{StoryFactory().pk}/"
        sent = other.format(client.get(path)["ETag"].strip('"'))

        assert client.get(path, HTTP_IF_NONE_MATCH=sent).status_code == 200
        refused = client.patch(path, {"title": "neu"}, format="json", HTTP_IF_MATCH=sent)
        assert refused.status_code == 412

    def test_of_the_version_before_is_stale(self, client: Any) -> None:
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"
        sent = f"W/{client.get(path)['ETag']}"
        row(story).save()

        assert client.get(path, HTTP_IF_NONE_MATCH=sent).status_code == 200
        refused = client.patch(path, {"title": "neu"}, format="json", HTTP_IF_MATCH=sent)
        assert refused.status_code == 412


def back(story: Story, by: timedelta) -> datetime:
    """Have a story, its jobs and their events changed that long ago; return that time."""
    at = (clock.database_now() - by).replace(microsecond=0)
    Story.objects.filter(pk=story.pk).update(updated_at=at)
    JobEvent.objects.filter(job__object_id=story.pk).update(at=at)
    return at


IUS = "HTTP_IF_UNMODIFIED_SINCE"


class TestIfUnmodifiedSince:
    """`If-Unmodified-Since`, for clients that know no tags."""

    def write(self, client: Any, path: str, method: str = "patch", **headers: str) -> int:
        data = {"title": "neu"} if method == "patch" else None
        answer = getattr(client, method)(path, data, format="json", **headers)
        return int(answer.status_code)

    @pytest.fixture
    def story(self) -> Story:
        story: Story = StoryFactory()
        row(story).save()
        return story

    @pytest.mark.parametrize("kind", ["stories", "notices"])
    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_of_an_earlier_time_changes_nothing(
        self, client: Any, kind: str, state: Any, method: str, action: str, data: Any
    ) -> None:
        item = TestAWriteOfAnItem().made(kind, state)
        path = f"{API}/{kind}/{item.pk}/"
        before = everything()

        refused = getattr(client, method)(path + action, data, format="json", **{IUS: http(EARLY)})

        assert (refused.status_code, refused.json()["code"]) == (412, "version_conflict")
        assert refused["ETag"] == client.get(path)["ETag"]
        assert everything() == before

    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    def test_of_a_later_time_goes_through(
        self, client: Any, state: Any, method: str, action: str, data: Any
    ) -> None:
        path = f"{API}/stories/{TestAWriteOfAnItem().made('stories', state).pk}/"

        done = getattr(client, method)(path + action, data, format="json", **{IUS: http(FAR_OFF)})

        assert done.status_code in (200, 204)

    def test_of_the_time_that_a_read_gave_goes_through(self, client: Any, story: Story) -> None:
        back(story, HOUR)
        path = f"{API}/stories/{story.pk}/"
        known = client.get(path)["Last-Modified"]

        assert [self.write(client, path, **{IUS: known}) for _ in range(2)] == [200, 412]

    def test_of_the_time_of_a_new_item_goes_through_at_once(self, client: Any) -> None:
        path = f"{API}/stories/{StoryFactory().pk}/"
        known = client.get(path)["Last-Modified"]

        assert [self.write(client, path, **{IUS: known}) for _ in range(2)] == [200, 412]

    @pytest.mark.parametrize(("read", "changed"), [(0, 300), (200, 700)])
    def test_refuses_where_another_change_was_in_the_same_second(
        self, client: Any, story: Story, read: int, changed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second = back(story, HOUR)
        path = f"{API}/stories/{story.pk}/"
        stories, milliseconds = Story.objects.filter(pk=story.pk), timedelta(milliseconds=1)
        stories.update(updated_at=second + read * milliseconds)
        monkeypatch.setattr(versions, "time", lambda: second.timestamp() + (read + 50) / 1000)
        known = client.get(path)["Last-Modified"]
        stories.update(updated_at=second + changed * milliseconds, version=F("version") + 1)

        assert parsedate_to_datetime(known) == second
        assert self.write(client, path, **{IUS: known}) == 412

    def test_counts_what_was_saved_of_some_fields(self, client: Any, story: Story) -> None:
        at = back(story, HOUR)
        now = row(story)
        now.title = "neu"
        now.save(update_fields=["title"])

        assert self.write(client, f"{API}/stories/{story.pk}/", **{IUS: http(at)}) == 412

    def test_counts_what_was_scheduled_since(self, client: Any, story: Story) -> None:
        at = back(story, HOUR)
        operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert self.write(client, f"{API}/stories/{story.pk}/", **{IUS: http(at)}) == 412

    def test_counts_what_went_live_since(self, client: Any) -> None:
        story = StoryFactory(due=True)
        at = back(story, HOUR)
        job_runner.run_everything_due()

        assert self.write(client, f"{API}/stories/{story.pk}/", **{IUS: http(at)}) == 412

    @pytest.mark.parametrize("date", ["", "yesterday", "2026-03-01T00:00:00Z", "Sun, 99 Mar 2026"])
    def test_that_is_no_date_is_ignored(self, client: Any, story: Story, date: str) -> None:
        assert self.write(client, f"{API}/stories/{story.pk}/", **{IUS: date}) == 200

    def test_in_an_old_spelling_is_read(self, client: Any, story: Story) -> None:
        path = f"{API}/stories/{story.pk}/"

        for date in ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
            assert self.write(client, path, **{IUS: date}) == 412

    def test_is_ignored_beside_if_match(self, client: Any, story: Story) -> None:
        path = f"{API}/stories/{story.pk}/"
        known = client.get(path)["ETag"]

        assert self.write(client, path, HTTP_IF_MATCH=known, **{IUS: http(EARLY)}) == 200
        assert self.write(client, path, HTTP_IF_MATCH=known, **{IUS: http(FAR_OFF)}) == 412

    @pytest.mark.parametrize(("action", "data"), [("move", {"run_at": AT}), ("cancel", {})])
    def test_of_a_job_is_compared_with_its_last_event(
        self, client: Any, action: str, data: Any
    ) -> None:
        job = operations.schedule(item=StoryFactory(), run_at=FAR_OFF + HOUR, by=None)
        path = f"{API}/jobs/{job.pk}/"

        answers = [
            client.post(f"{path}{action}/", data, format="json", **{IUS: date})
            for date in (http(EARLY), client.get(path)["Last-Modified"])
        ]

        assert [it.status_code for it in answers] == [412, 200]

    def test_of_many_is_compared_with_each(self, client: Any) -> None:
        old, new = StoryFactory(), StoryFactory()
        at = back(old, HOUR)
        row(new).save()
        data = {"ids": [old.pk, new.pk], "publish_at": AT}

        refused = client.post(
            f"{API}/stories/bulk/schedule/", data, format="json", **{IUS: http(at)}
        )
        done = client.post(
            f"{API}/stories/bulk/schedule/", data, format="json", **{IUS: http(FAR_OFF)}
        )

        assert (refused.status_code, refused.json()["code"]) == (412, "version_conflict")
        assert [it["id"] for it in refused.json()["refusals"]] == [new.pk]
        assert done.status_code == 200


class TestIfNoneMatch:
    @pytest.mark.parametrize(("state", "method", "action", "data"), WRITES)
    @pytest.mark.parametrize("sent", ["*", "{}", "W/{}", '"x", {}'])
    def test_of_what_is_there_changes_nothing(
        self, client: Any, state: Any, method: str, action: str, data: Any, sent: str
    ) -> None:
        path = f"{API}/stories/{TestAWriteOfAnItem().made('stories', state).pk}/"
        tags = sent.format(client.get(path)["ETag"])
        before = everything()

        refused = getattr(client, method)(
            path + action, data, format="json", HTTP_IF_NONE_MATCH=tags
        )

        assert (refused.status_code, refused.json()["code"]) == (412, "version_conflict")
        assert everything() == before

    def test_of_another_version_goes_through(self, client: Any) -> None:
        path = f"{API}/stories/{StoryFactory().pk}/"

        done = client.patch(path, {"title": "u"}, format="json", HTTP_IF_NONE_MATCH=STALE)

        assert done.status_code == 200

    def test_is_compared_beside_if_match(self, client: Any) -> None:
        path = f"{API}/stories/{StoryFactory().pk}/"
        etag = client.get(path)["ETag"]
        both = {"HTTP_IF_MATCH": etag, "HTTP_IF_NONE_MATCH": etag}

        assert client.patch(path, {"title": "u"}, format="json", **both).status_code == 412

    def test_of_anything_makes_what_is_not_there_yet(self, client: Any) -> None:
        made = client.post(f"{API}/stories/", {"title": "t"}, format="json", HTTP_IF_NONE_MATCH="*")

        assert made.status_code == 201

    def test_of_anything_makes_a_job_and_moves_none(self, client: Any) -> None:
        data = {"model": "story", "id": StoryFactory().pk, "kind": "publish", "run_at": AT}

        answers = [
            client.post(f"{API}/jobs/", data, format="json", HTTP_IF_NONE_MATCH="*")
            for _ in range(2)
        ]

        assert [it.status_code for it in answers] == [201, 412]
        assert Job.objects.get().events.count() == 1


class TestManyAtOnce:
    @pytest.mark.parametrize("header", ["HTTP_IF_MATCH", IUS])
    def test_ask_the_database_as_often_as_one(self, client: Any, header: str) -> None:
        tag = Tag.objects.create(name="봄")

        def count_queries(number: int) -> int:
            found = [StoryFactory() for _ in range(number)]
            tag.stories.add(*found)
            tags = [client.get(f"{API}/stories/{it.pk}/")["ETag"] for it in found]
            sent = ", ".join(tags) if header == "HTTP_IF_MATCH" else http(FAR_OFF)
            data = {"ids": [it.pk for it in found], "publish_at": AT}
            path = f"{API}/stories/bulk/schedule/"
            with CaptureQueriesContext(connection) as queries:
                answer = client.post(path, data, format="json", **{header: sent})
            assert answer.status_code == 200
            return len(queries)

        assert count_queries(20) <= count_queries(1)

    def test_are_compared_with_all_tags_that_are_sent(self, client: Any) -> None:
        found = [StoryFactory(), StoryFactory()]
        found[0].tags.add(Tag.objects.create(name="봄"))
        tags = [client.get(f"{API}/stories/{it.pk}/")["ETag"] for it in found]
        data = {"ids": [it.pk for it in found], "publish_at": AT}

        def send(*tags: str) -> Any:
            path = f"{API}/stories/bulk/schedule/"
            return client.post(path, data, format="json", HTTP_IF_MATCH=", ".join(tags))

        refused, done, again = send(tags[0]), send(*tags), send(*tags)

        [refusal] = refused.json()["refusals"]
        assert (refused.status_code, refusal["code"]) == (412, "version_conflict")
        assert (refusal["id"], refusal["current_etag"]) == (found[1].pk, tags[1])
        assert (done.status_code, again.status_code) == (200, 412)
        now = [client.get(f"{API}/stories/{it.pk}/")["ETag"] for it in found]
        assert [it["current_etag"] for it in again.json()["refusals"]] == now


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def together(
        self, in_background: InBackground, user: User, *requests: tuple[str, str, Any]
    ) -> list[Any]:
        """Send requests at one moment, with the version that all of them know."""
        barrier = Barrier(len(requests))
        etag = client_of(user).get(requests[0][1])["ETag"]

        def send(method: str, path: str, data: Any) -> Any:
            connection.ensure_connection()
            client = client_of(user)
            barrier.wait(20)
            return getattr(client, method)(path, data, format="json", HTTP_IF_MATCH=etag)

        futures: list[Future[Any]] = [in_background(send, *request) for request in requests]
        return sorted((future.result(20) for future in futures), key=lambda it: it.status_code)

    def test_of_one_version_only_one_is_done(self, in_background: InBackground) -> None:
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"

        done, refused = self.together(
            in_background,
            superuser(),
            ("patch", path, {"title": "eins"}),
            ("patch", path, {"title": "zwei"}),
        )

        assert (done.status_code, refused.status_code) == (200, 412)
        assert refused["ETag"] == done["ETag"]
        assert Story.objects.get(pk=story.pk).title == done.json()["title"]

    def test_an_edit_does_not_go_live_unseen(self, in_background: InBackground) -> None:
        story = StoryFactory()
        path = f"{API}/stories/{story.pk}/"

        done, refused = self.together(
            in_background,
            superuser(),
            ("patch", path, {"title": "eins"}),
            ("post", f"{path}publish/", {}),
        )

        assert (done.status_code, refused.status_code) == (200, 412)

    @pytest.mark.parametrize("kind", ["stories", "jobs"])
    def test_who_have_both_waited_for_it_are_not_both_done(
        self, in_background: InBackground, kind: str
    ) -> None:
        user, story = superuser(), StoryFactory()
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
        path = f"{API}/{kind}/{story.pk if kind == 'stories' else job.pk}/"
        etag = client_of(user).get(path)["ETag"]

        def send(n: int) -> Any:
            client: Any = client_of(user)
            at = (FAR_OFF + n * HOUR).isoformat()
            if kind == "stories":
                return client.patch(path, {"publish_at": at}, format="json", HTTP_IF_MATCH=etag)
            return client.post(f"{path}move/", {"run_at": at}, format="json", HTTP_IF_MATCH=etag)

        with transaction.atomic():
            # Held until both have come, so that neither could see what the other did.
            Story.objects.select_for_update().get()
            futures = [in_background(send, n) for n in (1, 2)]
            wait_until(lambda: number_waiting() == 2, seconds=20, what="both wait")
        done, refused = sorted((it.result(20) for it in futures), key=lambda it: it.status_code)

        assert (done.status_code, refused.status_code) == (200, 412)
        assert refused["ETag"] == done["ETag"] == client_of(user).get(path)["ETag"]
        assert Job.objects.get().events.count() == 2


class TestTheAgeOfAnAnswer:
    """`max-age` of public answers: never past the next scheduled change."""

    def max_age(self, path: str) -> int:
        header = client_of().get(f"{API}/{path}")["Cache-Control"]
        parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
        assert "public" in parts
        return int(parts["max-age"])

    def test_is_a_minute_when_nothing_is_scheduled(self) -> None:
        story = StoryFactory(published=True)

        assert self.max_age("stories/") == self.max_age(f"stories/{story.pk}/") == 60

    @pytest.mark.parametrize("state", [{}, {"published": True}], ids=["a start", "an end"])
    def test_ends_with_the_next_change(self, state: dict[str, Any]) -> None:
        live = StoryFactory(published=True)
        item = StoryFactory(**state)
        soon = clock.database_now() + timedelta(seconds=20)
        if state:
            operations.schedule(item=item, kind=Kind.UNPUBLISH, run_at=soon, by=None)
        else:
            operations.schedule(item=item, run_at=soon, by=None)

        assert 0 < self.max_age("stories/") < 20
        assert self.max_age(f"stories/{live.pk}/") == 60
        assert self.max_age("notices/") == 60
        if state:
            assert 0 < self.max_age(f"stories/{item.pk}/") < 20

    def test_is_nothing_while_something_is_overdue(self) -> None:
        StoryFactory(due=True)

        assert self.max_age("stories/") == 0

    def test_is_nothing_when_its_end_is_overdue(self) -> None:
        story = StoryFactory(published=True, unpublish_at=LONG_AGO + HOUR)

        assert self.max_age("stories/") == self.max_age(f"stories/{story.pk}/") == 0

    def test_is_no_longer_for_who_has_it_already(self) -> None:
        soon = clock.database_now() + timedelta(seconds=20)
        story = StoryFactory(published=True, unpublish_at=soon)

        for path in (f"{API}/stories/", f"{API}/stories/{story.pk}/"):
            first = client_of().get(path)
            again = client_of().get(path, HTTP_IF_NONE_MATCH=first["ETag"])

            assert again.status_code == 304
            age = int(again["Cache-Control"].split("max-age=")[1].split(",")[0])
            assert 0 < age < 20

    def test_is_nobody_elses_when_somebody_sees_what_readers_see(self) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"

        header = client_of(person()).get(path)["Cache-Control"]

        assert set(header.split(", ")) == {"private", "no-cache"}

    @pytest.mark.parametrize("path", ["stories/", "notices/", "jobs/"])
    def test_is_nobody_elses_when_it_is_for_one_person(self, client: Any, path: str) -> None:
        header = client.get(f"{API}/{path}")["Cache-Control"]

        assert set(header.split(", ")) == {"private", "no-cache"}

    @pytest.mark.parametrize("path", ["stories/", "stories/1/", "notices/", "schema/"])
    def test_differs_by_who_asks_and_not_by_their_language(self, path: str) -> None:
        StoryFactory(published=True, pk=1)

        korean, english = (
            client_of().get(f"{API}/{path}", HTTP_ACCEPT_LANGUAGE=it) for it in ("ko", "en")
        )

        assert korean.content == english.content
        varies = set(korean["Vary"].split(", "))
        assert {"Authorization", "Cookie"} <= varies
        assert "Accept-Language" not in varies
        assert "Content-Language" not in korean

    @pytest.mark.parametrize("path", ["jobs/", "stories/", "stories/1/", "notices/"])
    def test_differs_by_language_where_it_may_say_why_something_failed(self, path: str) -> None:
        StoryFactory(published=True, pk=1)

        korean = client_of(person(group="Editors")).get(f"{API}/{path}", HTTP_ACCEPT_LANGUAGE="ko")

        assert "Accept-Language" in korean["Vary"].split(", ")

    @pytest.mark.parametrize("path", ["problems/", "stories/999/", "stories/?x=1", "nowhere/"])
    def test_differs_by_language_where_it_has_texts(self, path: str) -> None:
        korean = client_of().get(f"{API}/{path}", HTTP_ACCEPT_LANGUAGE="ko")

        assert "Accept-Language" in korean["Vary"].split(", ")
        assert korean["Content-Language"] == "ko"


class TestAnError:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("get", "stories/999999999/", 404),
            ("get", "stories/?nonsense=1", 400),
            ("get", "nowhere/", 404),
            ("get", "jobs/", 401),
            ("post", "stories/", 401),
            ("put", "stories/", 405),
        ],
    )
    def test_is_kept_by_nobody(self, method: str, path: str, status: int) -> None:
        answer = getattr(client_of(), method)(f"{API}/{path}", {}, format="json")

        assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")

    def test_of_a_write_is_kept_by_nobody(self, client: Any) -> None:
        path = f"{API}/stories/{StoryFactory(published=True).pk}/"

        stale = client.patch(path, {}, format="json", HTTP_IF_MATCH=STALE)
        again = client.post(f"{path}publish/", {}, format="json")
        stranger: Any = client_of(person()).post(f"{path}publish/", {}, format="json")

        for answer, status in ((stale, 412), (again, 409), (stranger, 403)):
            assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")

    def test_about_what_is_soon_live_is_kept_by_nobody(self) -> None:
        soon = clock.database_now() + HOUR
        story = StoryFactory(status=Status.SCHEDULED, publish_at=soon)

        answer = client_of().get(f"{API}/stories/{story.pk}/")

        assert (answer.status_code, answer["Cache-Control"]) == (404, "no-store")
