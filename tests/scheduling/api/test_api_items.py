"""Items of every type: written, scheduled and read."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from content.models import Category, Notice, Story, Tag
from content.serializers import NoticeInput, NoticeOutput, NoticeRow
from scheduling import operations
from scheduling.api.viewsets import SchedulableViewSet
from scheduling.models import Job, JobEvent, Kind, Schedulable, State, clock
from tests.api_clients import API, client_of, person
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

LATER = FAR_OFF + timedelta(days=1)
PAST = "2001-01-01T00:00:00Z"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unthrottled")]


def utc(at: Any) -> str:
    return str(at.isoformat(timespec="microseconds").replace("+00:00", "Z"))


@pytest.fixture
def editor() -> User:
    return person(group="Editors")


@pytest.fixture
def ask(editor: User) -> Any:
    """Send a request as an editor; return the status and the body."""
    client: Any = client_of(editor)

    def asked(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        send = getattr(client, method.lower())
        response = (
            send(f"{API}/{path}", body, format="json")
            if body is not None
            else send(f"{API}/{path}")
        )
        return response.status_code, response.json() if response.content else None

    return asked


@pytest.fixture(params=["stories", "notices"])
def items(request: Any) -> str:
    """Return the route of each type in turn."""
    return str(request.param)


def make(items: str, **fields: Any) -> Any:
    return {"stories": StoryFactory, "notices": NoticeFactory}[items](**fields)


MAKERS: dict[str, Any] = {"stories": StoryFactory, "notices": NoticeFactory}


def find(items: str, pk: int) -> Schedulable:
    model: Any = {"stories": Story, "notices": Notice}[items]
    found: Schedulable = model.objects.get(pk=pk)
    return found


def open_jobs(item: Schedulable) -> list[tuple[str, Any]]:
    found = Job.objects.open().filter(object_id=item.pk).order_by("run_at")
    return list(found.values_list("kind", "run_at"))


class TestCreating:
    def test_makes_a_draft(self, ask: Any, items: str, editor: User) -> None:
        status, made = ask("POST", f"{items}/", {"title": "가을", "body": "글"})

        assert status == 201
        assert (made["title"], made["status"], made["author"]) == ("가을", "draft", editor.pk)
        item = find(items, made["id"])
        assert item.version == made["version"] == 1
        assert open_jobs(item) == []

    def test_schedules_what_is_to_go_live(self, ask: Any, items: str, editor: User) -> None:
        data = {
            **{"title": "t", "body": "b", "status": "scheduled", "reason": "제시간에"},
            **{"publish_at": utc(FAR_OFF), "unpublish_at": utc(LATER)},
        }

        status, made = ask("POST", f"{items}/", data)

        assert (status, made["status"]) == (201, "scheduled")
        assert (made["publish_at"], made["unpublish_at"]) == (utc(FAR_OFF), utc(LATER))
        assert open_jobs(find(items, made["id"])) == [("publish", FAR_OFF), ("unpublish", LATER)]
        event = JobEvent.objects.filter(job__kind=Kind.PUBLISH).get()
        assert (event.by, event.reason) == (editor, "제시간에")

    @pytest.mark.parametrize(
        "body",
        [
            *(None, {}, {"reason": "x"}, {"title": ""}, {"title": "  ", "body": "\n"}),
            *({"title": "\u200b"}, {"body": "\u3164", "reason": "x"}),
        ],
    )
    def test_needs_something(self, editor: User, items: str, body: Any) -> None:
        client = client_of(editor)

        sent = {} if body is None else {"data": body, "format": "json"}
        refused = client.post(f"{API}/{items}/", **sent)

        assert (refused.status_code, refused.json()["code"]) == (400, "validation_error")
        assert "Nothing is given" in refused.json()["detail"]
        assert not Story.objects.exists()
        assert not Notice.objects.exists()

    @pytest.mark.parametrize(
        "body", [{"title": "t"}, {"title": " ", "body": "b"}, {"title": "", "status": "draft"}]
    )
    def test_needs_no_more_than_one_field(self, ask: Any, items: str, body: Any) -> None:
        assert ask("POST", f"{items}/", body)[0] == 201

    def test_says_where_it_is(self, editor: User, items: str) -> None:
        client = client_of(editor)

        response = client.post(f"{API}/{items}/", {"title": "t"}, format="json")

        assert client.get(response["Location"]).json() == response.json()

    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            ({"status": "scheduled"}, 400, "validation_error"),
            ({"status": "scheduled", "publish_at": PAST}, 400, "not_in_future"),
            ({"publish_at": utc(FAR_OFF)}, 400, "validation_error"),
            ({"status": "published"}, 400, "validation_error"),
            (
                {"status": "scheduled", "publish_at": utc(FAR_OFF), "body": " "},
                409,
                "not_publishable",
            ),
        ],
    )
    def test_makes_nothing_when_it_is_refused(
        self, ask: Any, items: str, data: dict[str, Any], status: int, code: str
    ) -> None:
        refused, problem = ask("POST", f"{items}/", {"title": "t", "body": "b", **data})

        assert (refused, problem["code"]) == (status, code)
        assert not Story.objects.exists()
        assert not Notice.objects.exists()

    def test_takes_every_field_of_a_story(self, ask: Any) -> None:
        data = {
            **{"title": "제목", "body": "글", "slug": "봄-소식", "summary": "요약"},
            **{"byline": "김하늘", "categories": ["생활", "날씨"], "tags": ["봄"]},
            **{"keywords": ["spring"], "language": "ko"},
        }

        _, made = ask("POST", "stories/", data)

        assert {name: made[name] for name in data} == {**data, "categories": ["날씨", "생활"]}
        assert made["url"].endswith("/stories/%EB%B4%84-%EC%86%8C%EC%8B%9D/")

    def test_makes_a_slug_from_the_title(self, ask: Any) -> None:
        _, made = ask("POST", "stories/", {"title": "봄 소식"})

        assert made["slug"].startswith("봄-소식-")

    def test_refuses_a_slug_that_is_taken(self, ask: Any) -> None:
        StoryFactory(slug="봄")

        status, problem = ask("POST", "stories/", {"title": "t", "slug": "봄"})

        assert status == 400
        assert [it["field"] for it in problem["errors"]] == ["slug"]

    def test_uses_categories_and_tags_that_exist(self, ask: Any) -> None:
        Category.objects.create(name="날씨")
        Tag.objects.create(name="봄")

        ask("POST", "stories/", {"title": "t", "categories": ["날씨", " 날씨 "], "tags": ["봄"]})

        assert (Category.objects.count(), Tag.objects.count()) == (1, 1)


class TestChanging:
    def test_leaves_what_was_not_sent(self, ask: Any, items: str) -> None:
        item = make(items, body="첫 글")

        status, changed = ask("PATCH", f"{items}/{item.pk}/", {"title": "새 제목"})

        assert status == 200
        assert (changed["title"], changed["body"]) == ("새 제목", "첫 글")
        assert changed["version"] == 2

    def test_schedules(self, ask: Any, items: str) -> None:
        item = make(items)

        _, changed = ask(
            "PATCH", f"{items}/{item.pk}/", {"status": "scheduled", "publish_at": utc(FAR_OFF)}
        )

        assert changed["status"] == "scheduled"
        assert open_jobs(item) == [("publish", FAR_OFF)]

    def test_moves_by_the_time_alone(self, ask: Any, items: str) -> None:
        item = make(items)
        job = operations.schedule(item=item, run_at=FAR_OFF, by=None)

        _, changed = ask("PATCH", f"{items}/{item.pk}/", {"publish_at": utc(LATER)})

        assert (changed["status"], changed["publish_at"]) == ("scheduled", utc(LATER))
        assert open_jobs(item) == [("publish", LATER)]
        job.refresh_from_db()
        assert job.run_at == LATER

    def test_to_the_same_time_is_no_event(self, ask: Any, items: str) -> None:
        item = make(items)
        operations.schedule(item=item, run_at=FAR_OFF, by=None)

        ask("PATCH", f"{items}/{item.pk}/", {"publish_at": utc(FAR_OFF), "status": "scheduled"})

        assert JobEvent.objects.count() == 1

    def test_to_a_draft_cancels(self, ask: Any, items: str) -> None:
        item = make(items)
        operations.schedule(item=item, run_at=FAR_OFF, unpublish_at=LATER, by=None)

        _, changed = ask("PATCH", f"{items}/{item.pk}/", {"status": "draft", "reason": "늦었다"})

        assert (changed["status"], changed["publish_at"]) == ("draft", None)
        assert open_jobs(item) == []
        assert "늦었다" in JobEvent.objects.values_list("reason", flat=True)

    def test_to_a_draft_of_a_draft_is_nothing(self, ask: Any, items: str) -> None:
        status, _ = ask("PATCH", f"{items}/{make(items).pk}/", {"status": "draft"})

        assert status == 200

    def test_sets_and_takes_away_the_end_of_what_is_live(self, ask: Any, items: str) -> None:
        item = make(items, published=True)

        _, ending = ask("PATCH", f"{items}/{item.pk}/", {"unpublish_at": utc(LATER)})
        jobs = open_jobs(item)
        _, endless = ask("PATCH", f"{items}/{item.pk}/", {"unpublish_at": None})

        assert (ending["unpublish_at"], endless["unpublish_at"]) == (utc(LATER), None)
        assert (jobs, open_jobs(item)) == ([("unpublish", LATER)], [])

    @pytest.mark.parametrize(
        ("state", "data", "status", "code"),
        [
            ({}, {"publish_at": utc(FAR_OFF)}, 409, "invalid_transition"),
            ({"published": True}, {"publish_at": utc(FAR_OFF)}, 409, "invalid_transition"),
            ({"published": True}, {"status": "draft"}, 409, "invalid_transition"),
            (
                {"published": True},
                {"status": "scheduled", "publish_at": utc(FAR_OFF)},
                409,
                "invalid_transition",
            ),
            ({}, {"status": "published"}, 400, "validation_error"),
            ({}, {"status": "failed"}, 400, "validation_error"),
            ({}, {"status": "scheduled", "publish_at": PAST}, 400, "not_in_future"),
            (
                {"body": ""},
                {"status": "scheduled", "publish_at": utc(FAR_OFF)},
                409,
                "not_publishable",
            ),
        ],
    )
    def test_changes_nothing_when_it_is_refused(
        self, ask: Any, items: str, state: Any, data: Any, status: int, code: str
    ) -> None:
        item = make(items, title="alt", **state)

        refused, problem = ask("PATCH", f"{items}/{item.pk}/", {"title": "neu", **data})

        assert (refused, problem["code"]) == (status, code)
        after = find(items, item.pk)
        assert (str(after), after.status, after.version) == ("alt", item.status, item.version)
        assert not Job.objects.exists()

    def test_says_that_the_status_is_read_only(self, ask: Any, items: str) -> None:
        _, problem = ask("PATCH", f"{items}/{make(items).pk}/", {"status": "published"})

        [error] = problem["errors"]
        assert error["field"] == "status"
        assert "read-only" in error["detail"]

    def test_names_the_end_that_comes_too_early(self, ask: Any, items: str) -> None:
        data = {"status": "scheduled", "publish_at": utc(LATER), "unpublish_at": utc(FAR_OFF)}
        one = f"{items}/{make(items).pk}/"

        patched = ask("PATCH", one, data)
        posted = ask("POST", f"{one}schedule/", {k: v for k, v in data.items() if k != "status"})

        for status, problem in (patched, posted):
            assert (status, problem["code"]) == (400, "validation_error")
            assert problem["errors"][0]["field"] == "unpublish_at"

    def test_replaces_categories_and_tags(self, ask: Any) -> None:
        story = StoryFactory()
        ask("PATCH", f"stories/{story.pk}/", {"tags": ["봄", "여름"], "categories": ["a"]})

        _, changed = ask("PATCH", f"stories/{story.pk}/", {"tags": ["가을"]})

        assert (changed["tags"], changed["categories"]) == (["가을"], ["a"])

    def test_keeps_the_slug_to_itself(self, ask: Any) -> None:
        StoryFactory(slug="taken")

        status, problem = ask("PATCH", f"stories/{StoryFactory().pk}/", {"slug": "taken"})

        assert (status, problem["errors"][0]["field"]) == (400, "slug")


class TestALanguage:
    @pytest.mark.parametrize(
        ("sent", "stored"),
        [("ko", "ko"), ("pt-br", "pt-BR"), ("en_US", "en-US"), ("zh-hans", "zh-Hans"), ("", "")],
    )
    def test_is_spelled_as_the_standard_has_it(self, ask: Any, sent: str, stored: str) -> None:
        _, made = ask("POST", "stories/", {"title": "t", "language": sent})
        status, found = ask("PATCH", f"stories/{made['id']}/", {"language": sent})

        assert (status, made["language"], found["language"]) == (200, stored, stored)
        if sent:
            assert len(ask("GET", f"stories/?language={sent}")[1]["results"]) == 1

    @pytest.mark.parametrize(
        "sent", ["klingon!", "klingon", "english", "xx", "e", "en-", "ko_KR.UTF-8"]
    )
    def test_that_there_is_not_is_refused(self, ask: Any, sent: str) -> None:
        made = ask("POST", "stories/", {"title": "t"})[1]

        answers = [
            ask("POST", "stories/", {"title": "t", "language": sent}),
            ask("PATCH", f"stories/{made['id']}/", {"language": sent}),
        ]

        for status, problem in answers:
            assert status == 400
            assert [it["field"] for it in problem["errors"]] == ["language"]
        assert Story.objects.get().language == "en"


class TestCancellingByStatus:
    """`status: "draft"` of what is not scheduled."""

    def test_of_what_is_live_says_how_it_is_taken_down(self, ask: Any, items: str) -> None:
        item = MAKERS[items](published=True)

        status, problem = ask("PATCH", f"{items}/{item.pk}/", {"status": "draft"})

        assert (status, problem["code"]) == (409, "invalid_transition")
        assert "It is live" in problem["detail"]
        assert "unpublish/" in problem["detail"]
        assert find(items, item.pk).is_published

    def test_of_what_was_live_says_what_it_is(self, ask: Any, items: str) -> None:
        item = MAKERS[items](published=True)
        operations.unpublish_now(item=item, by=None)

        status, problem = ask("PATCH", f"{items}/{item.pk}/", {"status": "draft"})

        assert (status, problem["code"]) == (409, "invalid_transition")
        assert problem["detail"] == "It is unpublished and cannot become draft."


class TestLeavingSomethingIncomplete:
    @pytest.fixture(params=["published", "scheduled"])
    def item(self, request: Any, items: str) -> Any:
        return make(items, **{request.param: True})

    def test_is_refused_for_what_is_live_or_scheduled(
        self, ask: Any, items: str, item: Any
    ) -> None:
        for blank in ("", "  ", "\u200b", "\u3164\u3000"):
            data = {"title": blank, "body": blank}
            status, answer = ask("PATCH", f"{items}/{item.pk}/", data)

            assert (status, answer["code"]) == (409, "not_publishable")
            assert len(answer["problems"]) == 2
        assert find(items, item.pk).version == item.version

    def test_is_done_with_a_change_of_time_neither(self, ask: Any, items: str) -> None:
        item = make(items, scheduled=True)

        status, answer = ask(
            "PATCH", f"{items}/{item.pk}/", {"body": " ", "publish_at": utc(LATER)}
        )

        assert (status, answer["code"]) == (409, "not_publishable")
        assert open_jobs(find(items, item.pk)) == [("publish", FAR_OFF)]

    @pytest.mark.parametrize("trait", ["scheduled", "failed"])
    def test_is_done_with_the_request_that_cancels_it(
        self, ask: Any, items: str, trait: str
    ) -> None:
        item = make(items, **{trait: True})

        status, answer = ask("PATCH", f"{items}/{item.pk}/", {"status": "draft", "body": ""})

        assert (status, answer["status"], answer["body"]) == (200, "draft", "")
        assert open_jobs(find(items, item.pk)) == []

    def test_is_mended_in_one_step_with_its_schedule(self, ask: Any, items: str) -> None:
        item = make(items, body="")
        body = {"body": "글", "status": "scheduled", "publish_at": utc(LATER)}

        status, answer = ask("PATCH", f"{items}/{item.pk}/", body)

        assert (status, answer["status"]) == (200, "scheduled")


class TestDeleting:
    def test_cancels_what_was_scheduled(self, ask: Any, items: str) -> None:
        item = make(items)
        job = operations.schedule(item=item, run_at=FAR_OFF, by=None)

        status, body = ask("DELETE", f"{items}/{item.pk}/")

        assert (status, body) == (204, None)
        job.refresh_from_db()
        assert job.state == State.CANCELLED

    def test_twice_finds_nothing(self, ask: Any, items: str) -> None:
        item = make(items)
        ask("DELETE", f"{items}/{item.pk}/")

        assert ask("DELETE", f"{items}/{item.pk}/")[0] == 404


class TestAnAction:
    def test_schedules_and_moves(self, ask: Any, items: str, editor: User) -> None:
        item = make(items)

        _, job = ask(
            "POST", f"{items}/{item.pk}/schedule/", {"publish_at": utc(FAR_OFF), "reason": "봄"}
        )
        status, moved = ask("POST", f"{items}/{item.pk}/schedule/", {"publish_at": utc(LATER)})

        assert (job["run_at"], job["state"], job["reason"]) == (utc(FAR_OFF), "waiting", "봄")
        assert (job["scheduled_by"], job["item"]) == (editor.username, item.label)
        assert (status, moved["id"], moved["run_at"]) == (200, job["id"], utc(LATER))

    def test_keeps_the_end_or_takes_it_away(self, ask: Any, items: str) -> None:
        item = make(items)
        data = {"publish_at": utc(FAR_OFF), "unpublish_at": utc(LATER)}

        ask("POST", f"{items}/{item.pk}/schedule/", data)
        ask("POST", f"{items}/{item.pk}/schedule/", {"publish_at": utc(FAR_OFF)})
        kept = open_jobs(item)
        ask("POST", f"{items}/{item.pk}/schedule/", {**data, "unpublish_at": None})

        assert kept == [("publish", FAR_OFF), ("unpublish", LATER)]
        assert open_jobs(item) == [("publish", FAR_OFF)]

    def test_unschedules(self, ask: Any, items: str) -> None:
        item = make(items)
        operations.schedule(item=item, run_at=FAR_OFF, unpublish_at=LATER, by=None)

        ask("POST", f"{items}/{item.pk}/unschedule/", {"kind": "unpublish"})
        left = open_jobs(item)
        status, job = ask("POST", f"{items}/{item.pk}/unschedule/", {})

        assert left == [("publish", FAR_OFF)]
        assert (status, job["state"], open_jobs(item)) == (200, "cancelled", [])

    def test_publishes_and_takes_down_at_once(self, ask: Any, items: str) -> None:
        item = make(items)

        _, live = ask("POST", f"{items}/{item.pk}/publish/", {})
        published = find(items, item.pk).status
        _, down = ask("POST", f"{items}/{item.pk}/unpublish/", {"reason": "틀린 글"})

        assert (live["state"], live["kind"], published) == ("succeeded", "publish", "published")
        assert (down["state"], down["reason"]) == ("succeeded", "틀린 글")
        assert find(items, item.pk).status == "unpublished"

    @pytest.mark.parametrize(
        ("state", "action", "data", "status", "code"),
        [
            ({}, "schedule", {"publish_at": PAST}, 400, "not_in_future"),
            ({}, "schedule", {}, 400, "validation_error"),
            ({"body": ""}, "schedule", {"publish_at": utc(FAR_OFF)}, 409, "not_publishable"),
            (
                {"published": True},
                "schedule",
                {"publish_at": utc(FAR_OFF)},
                409,
                "invalid_transition",
            ),
            ({}, "unschedule", {}, 409, "invalid_transition"),
            ({"body": ""}, "publish", {}, 409, "not_publishable"),
            ({"published": True}, "publish", {}, 409, "invalid_transition"),
            ({}, "unpublish", {}, 409, "invalid_transition"),
        ],
    )
    def test_is_refused_with_a_reason(
        self, ask: Any, items: str, state: Any, action: str, data: Any, status: int, code: str
    ) -> None:
        item = make(items, **state)

        refused, problem = ask("POST", f"{items}/{item.pk}/{action}/", data)

        assert (refused, problem["code"]) == (status, code)
        assert problem["detail"]
        assert not Job.objects.exists()


class TestReading:
    def test_without_a_login_shows_what_is_live(self, items: str) -> None:
        live = make(items, published=True)
        hidden = [make(items, **state) for state in ({}, {"scheduled": True}, {"failed": True})]
        client = client_of()

        page = client.get(f"{API}/{items}/").json()
        statuses = [client.get(f"{API}/{items}/{it.pk}/").status_code for it in [live, *hidden]]

        assert [row["id"] for row in page["results"]] == [live.pk]
        assert statuses == [200, 404, 404, 404]

    def test_renders_the_text_and_takes_out_what_could_run(self, items: str) -> None:
        body = (
            "Ein **Wort** <script>alert(1)</script> <img src=x onerror=alert(1)>\n\n"
            "[a](javascript:alert(1)) <a href='//example.org' onclick='x()'>b</a>"
        )
        item = make(items, body=body, published=True)

        html = client_of().get(f"{API}/{items}/{item.pk}/").json()["body_html"]

        assert "<strong>Wort</strong>" in html
        assert not [
            bad for bad in ("<script", "onerror=", 'href="javascript', "onclick") if bad in html
        ]

    def test_a_list_shows_no_text(self, ask: Any, items: str) -> None:
        make(items)

        _, page = ask("GET", f"{items}/")

        assert not {"body", "body_html"} & page["results"][0].keys()

    def test_shows_times_in_utc_with_microseconds(self, ask: Any, items: str) -> None:
        item = make(items, published=True)

        _, shown = ask("GET", f"{items}/{item.pk}/")

        assert shown["published_at"] == "2025-03-30T01:00:00.123456Z" == utc(LONG_AGO)


class TestAFilter:
    @pytest.fixture
    def ids(self, ask: Any) -> Any:
        def found(query: str, route: str = "stories") -> list[int]:
            status, page = ask("GET", f"{route}/?ordering=id&{query}")
            assert status == 200, page
            return [row["id"] for row in page["results"]]

        return found

    def test_keeps_a_status(self, ids: Any, items: str) -> None:
        draft, live = make(items), make(items, published=True)

        assert ids("status=draft", items) == [draft.pk]
        assert ids("status=published", items) == [live.pk]
        assert ids("status=failed", items) == []

    def test_keeps_a_span_of_time(self, ids: Any, items: str) -> None:
        early = make(items, published=True)
        late = make(items, publish_at=LATER, status="published", published_at=LATER)
        make(items)

        for name in ("published", "publish_at"):
            assert ids(f"{name}_after={utc(LATER)}", items) == [late.pk]
            assert ids(f"{name}_before={utc(LATER)}", items) == [early.pk]
            assert ids(f"{name}_after=2025-03-30T10:00:00.123456+09:00", items) == [
                early.pk,
                late.pk,
            ]
            assert ids(f"{name}_before=0001-01-01T00:00:00Z", items) == []
            assert ids(f"{name}_before=9999-12-31T23:59:59-14:00", items) == [early.pk, late.pk]

    def test_keeps_an_author(self, ids: Any, items: str) -> None:
        author = person(username="김하늘")
        mine = make(items, author=author)
        make(items, author=person())

        assert ids(f"author={author.pk}", items) == [mine.pk]
        assert ids("author=김하늘", items) == [mine.pk]
        assert ids("author=nobody", items) == []

    def test_keeps_a_word(self, ask: Any, ids: Any) -> None:
        story = StoryFactory(language="ko")
        StoryFactory(language="en")
        ask("PATCH", f"stories/{story.pk}/", {"tags": ["봄", "비"], "categories": ["날씨"]})

        assert ids("tag=봄") == ids("category=날씨") == ids("language=ko") == [story.pk]
        assert ids("tag=봄&category=날씨&language=ko&search=제목") == [story.pk]
        assert ids("tag=겨울") == ids("category=봄") == []

    def test_that_keeps_nothing_does_so_in_every_order(self, ask: Any, items: str) -> None:
        make(items)

        for ordering in ("id", "-publish_at", "published_at"):
            for query in ("author=nobody", "status=failed"):
                _, page = ask("GET", f"{items}/?ordering={ordering}&{query}")
                assert page["results"] == []
        _, page = ask("GET", "stories/?ordering=published_at&tag=겨울")
        assert page["results"] == []

    def test_finds_text(self, ids: Any) -> None:
        story = StoryFactory(title="봄이 온다", body="눈이 녹는다")
        StoryFactory(title="가을")

        assert ids("search=봄") == ids("search=눈") == [story.pk]
        assert ids("search=여름") == []

    def test_keeps_a_severity(self, ids: Any) -> None:
        loud = NoticeFactory(severity="urgent")
        NoticeFactory()

        assert ids("severity=urgent", "notices") == [loud.pk]

    def test_shows_nobody_what_is_not_live(self) -> None:
        StoryFactory(title="비밀")

        for query in ("status=draft", "search=비밀", f"publish_at_after={PAST}"):
            assert client_of().get(f"{API}/stories/?{query}").json()["results"] == []


class BulletinViewSet(SchedulableViewSet):
    """What a new type of content writes."""

    model = Notice
    queryset = Notice.objects.none()
    input_class = NoticeInput
    output_class = NoticeOutput
    row_class = NoticeRow


router = SimpleRouter()
router.register("bulletins", BulletinViewSet, basename="bulletin")
urlpatterns = [path("api/v1/", include(router.urls))]


@pytest.mark.urls(__name__)
def test_a_new_type_has_all_of_it_by_subclassing(ask: Any) -> None:
    status, made = ask("POST", "bulletins/", {"title": "t", "body": "b"})
    one = f"bulletins/{made['id']}/"

    assert status == 201
    assert ask("POST", f"{one}schedule/", {"publish_at": utc(FAR_OFF)})[0] == 200
    assert ask("GET", "bulletins/?status=scheduled")[1]["results"][0]["id"] == made["id"]
    assert ask("PATCH", one, {"status": "draft"})[1]["status"] == "draft"
    bulk = {"ids": [made["id"]], "publish_at": utc(FAR_OFF)}
    assert ask("POST", "bulletins/bulk/schedule/", bulk)[0] == 200
    assert ask("POST", f"{one}publish/", {})[1]["state"] == "succeeded"
    assert client_of().get(f"{API}/{one}").json()["published_at"] is not None
    assert clock.database_now() < FAR_OFF
