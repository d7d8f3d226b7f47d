"""Keys for programs: how they are made, what they open, and when they end."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from armo.common.api import keys
from armo.common.api.models import ApiKey, KeptAnswer
from armo.common.api.scopes import ANYBODY, NO_KEY, TABLE, Scope, resource_of, scopes_of
from scheduling import operations
from scheduling.models import clock
from tests.api_clients import API, client_of, person, superuser
from tests.conftest import InBackground
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory
from tests.scheduling.api.test_api_rights import failed_job

KEYS = f"{API}/auth/keys/"
FAR = FAR_OFF.isoformat()

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor() -> User:
    made = person(username="editor", group="Editors", is_staff=True)
    made.set_password("열려라 참깨")
    made.save()
    return made


@pytest.fixture
def operator() -> User:
    return person(username="operator", group="Operators", is_staff=True)


def made(owner: User, *scopes: str, **given: Any) -> tuple[ApiKey, str]:
    """Make a key; without scopes, with all of them."""
    chosen = {"name": "import", "scopes": scopes or list(Scope.values), **given}
    return keys.make_key(owner=owner, **chosen)


def program(owner: User, *scopes: str, **given: Any) -> APIClient:
    """Return the client of a program that has such a key."""
    _key, secret = made(owner, *scopes, **given)
    return with_secret(secret)


def with_secret(secret: str, word: str = "Bearer") -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"{word} {secret}")
    return client


def send(client: APIClient, method: str, path: str, body: Any = None, **headers: Any) -> Any:
    ask: Callable[..., Any] = getattr(client, method.lower())
    return ask(f"{API}/{path}", body, format="json", **headers)


def make_by_api(user: User, **given: Any) -> Any:
    return send(client_of(user), "POST", "auth/keys/", {"name": "import", **given})


class TestMakingAKey:
    def test_shows_its_secret_once(self, editor: User) -> None:
        answer = make_by_api(editor, scopes=["write", "read"], type="story", expires_at=FAR)

        data = answer.json()
        secret = data.pop("secret")
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        assert secret.startswith("armo_")
        assert len(secret) == 5 + 64
        assert data == {
            "id": ApiKey.objects.get().pk,
            "name": "import",
            "prefix": secret[:15],
            "scopes": ["read", "write"],
            "type": "content.story",
            "created_at": data["created_at"],
            "expires_at": FAR_OFF.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "last_used_at": None,
        }
        assert send(client_of(editor), "GET", "auth/keys/").json() == [data]

    def test_stores_a_digest_of_the_secret(self, editor: User) -> None:
        secret = make_by_api(editor, scopes=["read"]).json()["secret"]

        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM api_apikey")
            [row] = cursor.fetchall()
        assert not any(secret[15:] in str(value) for value in row)

    @pytest.mark.parametrize(
        ("wrong", "field", "code"),
        [
            ({"name": ""}, "name", "blank"),
            ({"name": "\u3164"}, "name", "invalid"),
            ({"name": "a\x1b[31m"}, "name", "invalid"),
            # What turns the direction, or cannot be seen at all.
            *[({"name": f"a{it}b"}, "name", "invalid") for it in "\u202e\u2066\u200b\u00ad\ufeff"],
            ({"name": "a\U000e0041"}, "name", "invalid"),
            ({"name": "x" * 101}, "name", "max_length"),
            ({"name": "  there "}, "name", "unique"),
            ({"name": "cafe\u0301"}, "name", "unique"),
            ({"scopes": []}, "scopes", "min_length"),
            ({"scopes": ["admin"]}, "scopes.0", "invalid_choice"),
            ({"scopes": "read"}, "scopes", "not_a_list"),
            ({"type": "user"}, "type", "unknown_model"),
            ({"type": "content.nothing\x1b"}, "type", "unknown_model"),
            ({"expires_at": LONG_AGO.isoformat()}, "expires_at", "not_in_future"),
            ({"expires_at": "2099-01-01T00:00:00"}, "expires_at", "no_offset"),
            ({"owner": 1}, "owner", "unknown"),
            ({"secret": "mine"}, "secret", "read_only"),
        ],
    )
    def test_is_refused(self, editor: User, wrong: Any, field: str, code: str) -> None:
        made(editor, name="there")
        made(editor, name="caf\u00e9")

        answer = make_by_api(editor, **{"scopes": ["read"], **wrong})

        assert answer.status_code == 400
        assert answer.json()["code"] == "validation_error"
        assert [(it["field"], it["code"]) for it in answer.json()["errors"]] == [(field, code)]
        assert ApiKey.objects.count() == 2

    @pytest.mark.parametrize("name", ["\u0958" * 100, "\U0001f469\u200d\U0001f4bb", "가 나"])
    def test_takes_what_is_joined_and_what_is_longer_composed(
        self, editor: User, name: str
    ) -> None:
        assert make_by_api(editor, scopes=["read"], name=name).json()["name"] == name

    def test_is_refused_beside_so_many_that_no_list_is_read(
        self, editor: User, operator: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "MOST_KEYS", 2)
        first, _secret = made(editor, name="1")
        made(editor, name="2", expires_at=FAR_OFF)

        answer = make_by_api(editor, scopes=["read"])
        of_other = make_by_api(operator, scopes=["read"])
        keys.revoke_key(key=first, by=editor)

        assert answer.json()["errors"] == [
            {"field": "name", "code": "too_many", "detail": "You have 2 keys. Revoke one first."}
        ]
        assert of_other.status_code == 201
        assert make_by_api(editor, scopes=["read"]).status_code == 201

    def test_gives_two_people_keys_of_one_name(self, editor: User, operator: User) -> None:
        assert make_by_api(editor, scopes=["read"]).status_code == 201
        assert make_by_api(operator, scopes=["read"]).status_code == 201

    def test_takes_no_name_twice_at_once(self, transactional_db: None, in_background: Any) -> None:
        user = person()

        answers = [in_background(make_by_api, user, scopes=["read"]) for _ in range(4)]

        assert sorted(it.result().status_code for it in answers) == [201, 400, 400, 400]

    def test_is_done_each_time_though_it_has_an_idempotency_key(self, editor: User) -> None:
        body = {"name": "import", "scopes": ["read"]}
        for status in (201, 400):
            answer = send(
                client_of(editor), "POST", "auth/keys/", body, HTTP_IDEMPOTENCY_KEY="once"
            )
            assert answer.status_code == status
        assert not KeptAnswer.objects.exists()

    def test_is_in_the_history_of_the_account(self, editor: User) -> None:
        answer = make_by_api(editor, scopes=["read"])
        send(client_of(editor), "DELETE", f"auth/keys/{answer.json()['id']}/")

        entries = LogEntry.objects.filter(object_id=str(editor.pk), user=editor).order_by("pk")

        shown = f"API key “import ({answer.json()['prefix']}…)”."
        assert [it.get_change_message() for it in entries] == [f"Added {shown}", f"Deleted {shown}"]

    def test_is_over_with_the_password_it_was_asked_by(self, editor: User) -> None:
        seen = User.objects.get(pk=editor.pk)
        editor.set_password("닫혀라")
        editor.save()

        answer = make_by_api(seen, scopes=["read"])

        assert answer.status_code == 401
        assert not ApiKey.objects.exists()


class TestAKey:
    @pytest.mark.parametrize("word", ["Bearer", "bearer", "Token"])
    def test_opens_what_its_owner_may_do(self, editor: User, word: str) -> None:
        _key, secret = made(editor)

        assert send(with_secret(secret, word), "GET", "jobs/").status_code == 200

    @pytest.mark.parametrize(
        "wrong",
        [
            "armo_",
            "armo_x",
            "armo_{0}x",
            "armo_ {0}",
            "armo_{0}\x00",
            "{0}",
            "armo_armo_{0}",
            "armo_é",
        ],
    )
    def test_that_is_none_is_refused(self, editor: User, wrong: str) -> None:
        _key, secret = made(editor)

        answer = with_secret(wrong.format(secret.removeprefix("armo_"))).get(f"{API}/stories/")

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_never_allows_more_than_its_owner_may(self) -> None:
        author = person(group="Authors")
        client = program(author)
        story = StoryFactory(author=author)

        refused = send(client, "POST", f"stories/{story.pk}/publish/", {})

        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")

    def test_loses_what_its_owner_loses(self, editor: User) -> None:
        client, story = program(editor), StoryFactory()
        assert send(client, "GET", f"stories/{story.pk}/").status_code == 200

        editor.groups.clear()

        assert send(client, "GET", f"stories/{story.pk}/").status_code == 404

    def test_acts_in_its_owners_name(self, editor: User) -> None:
        client, story = program(editor), StoryFactory()

        job = send(client, "POST", f"stories/{story.pk}/schedule/", {"publish_at": FAR}).json()

        assert job["scheduled_by"] == "editor"

    def test_ends_when_it_was_said_to(self, editor: User) -> None:
        key, secret = made(editor, expires_at=FAR_OFF)
        before = send(with_secret(secret), "GET", "jobs/").status_code
        ApiKey.objects.update(expires_at=LONG_AGO)

        after = send(with_secret(secret), "GET", "jobs/").status_code

        assert (before, after) == (200, 401)
        [row] = send(client_of(editor), "GET", "auth/keys/").json()
        assert row["id"] == key.pk

    def test_ends_when_it_is_revoked(self, editor: User) -> None:
        key, secret = made(editor)

        answer = send(client_of(editor), "DELETE", f"auth/keys/{key.pk}/")

        assert answer.status_code == 204
        assert send(with_secret(secret), "GET", "jobs/").status_code == 401
        assert send(client_of(editor), "DELETE", f"auth/keys/{key.pk}/").status_code == 404

    def test_is_not_anothers_to_see_or_revoke(self, editor: User) -> None:
        key, secret = made(editor)

        for other in (person(), superuser()):
            assert send(client_of(other), "DELETE", f"auth/keys/{key.pk}/").status_code == 404
            assert send(client_of(other), "GET", "auth/keys/").json() == []
        assert send(with_secret(secret), "GET", "jobs/").status_code == 200

    @pytest.mark.parametrize("number", ["0", "9" * 30])
    def test_that_is_not_there_cannot_be_revoked(self, editor: User, number: str) -> None:
        assert send(client_of(editor), "DELETE", f"auth/keys/{number}/").status_code == 404

    def test_outlives_a_change_of_the_password(self, editor: User) -> None:
        client = program(editor)

        editor.set_password("닫혀라 참깨")
        editor.save()
        User.objects.filter(pk=editor.pk).update(password=make_password("x"))

        assert send(client, "GET", "jobs/").status_code == 200

    def test_ends_with_its_account(self, editor: User) -> None:
        client = program(editor)

        editor.delete()

        assert send(client, "GET", "jobs/").status_code == 401

    def test_ends_when_its_account_is_deactivated_for_good(self, editor: User) -> None:
        client = program(editor)

        User.objects.filter(pk=editor.pk).update(is_active=False)
        while_it_is = send(client, "GET", "jobs/").status_code
        User.objects.filter(pk=editor.pk).update(is_active=True)

        assert (while_it_is, send(client, "GET", "jobs/").status_code) == (401, 401)

    def test_needs_no_csrf_token_though_there_is_a_session(self, editor: User) -> None:
        _key, secret = made(editor)
        client = Client(enforce_csrf_checks=True, HTTP_AUTHORIZATION=f"Bearer {secret}")
        client.force_login(editor)

        answer = client.post(f"{API}/stories/", {"title": "t"}, content_type="application/json")

        assert answer.status_code == 201


class TestItsLastUse:
    def test_is_shown(self, editor: User) -> None:
        client = program(editor)

        before = clock.database_now()
        send(client, "GET", "stories/")

        at = ApiKey.objects.get().last_used_at
        assert at is not None
        assert at >= before - timedelta(seconds=1)

    def test_is_written_once_a_minute(self, editor: User) -> None:
        client = program(editor)
        send(client, "GET", "stories/")
        first = ApiKey.objects.get().last_used_at

        with CaptureQueriesContext(connection) as queries:
            send(client, "GET", "stories/")

        assert ApiKey.objects.get().last_used_at == first
        assert not [it for it in queries if it["sql"].startswith(("UPDATE", "SAVEPOINT"))]
        assert len([it for it in queries if "api_apikey" in it["sql"]]) == 1

    def test_is_written_again_after_that(self, editor: User) -> None:
        client = program(editor)
        ApiKey.objects.update(last_used_at=LONG_AGO)

        send(client, "GET", "stories/")

        assert ApiKey.objects.exclude(last_used_at=LONG_AGO).exists()

    def test_waits_for_nobody(self, transactional_db: None, in_background: InBackground) -> None:
        client = program(person(group="Editors"))

        with transaction.atomic():
            ApiKey.objects.select_for_update().get()
            answer = in_background(send, client, "GET", "jobs/").result(timeout=20)

        assert answer.status_code == 200
        assert ApiKey.objects.get().last_used_at is None

    def test_keeps_nobody_from_reading_while_the_server_takes_no_writes(
        self, transactional_db: None
    ) -> None:
        client = program(person(group="Editors"))

        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
            try:
                answer = send(client, "GET", "jobs/")
            finally:
                cursor.execute("SET default_transaction_read_only = off")

        assert answer.status_code == 200


# Request, body, and the scopes of which it needs all; `{n}` is the item, `{j}` the job.
REQUESTS: list[tuple[str, str, Any, list[str]]] = [
    ("GET", "{items}/", None, ["read"]),
    ("GET", "{items}/{n}/", None, ["read"]),
    ("POST", "{items}/", {"title": "t"}, ["write"]),
    (
        *("POST", "{items}/"),
        {"title": "t", "body": "b", "status": "scheduled", "publish_at": FAR},
        ["write", "schedule"],
    ),
    ("PATCH", "{items}/{n}/", {"title": "u"}, ["write"]),
    (*("PATCH", "{items}/{n}/"), {"status": "scheduled", "publish_at": FAR}, ["write", "schedule"]),
    (
        *("PATCH", "{items}/{n}/"),
        {"title": "u", "status": "scheduled", "publish_at": FAR, "unpublish_at": None},
        ["write", "schedule"],
    ),
    ("DELETE", "{items}/{n}/", None, ["write"]),
    ("POST", "{items}/{n}/schedule/", {"publish_at": FAR}, ["schedule"]),
    ("POST", "{items}/{planned}/unschedule/", {}, ["schedule"]),
    ("PATCH", "{items}/{planned}/", {"status": "draft"}, ["write", "schedule"]),
    ("PATCH", "{items}/{planned}/", {"unpublish_at": None}, ["write", "schedule"]),
    ("POST", "{items}/{n}/publish/", {}, ["publish"]),
    ("POST", "{items}/{live}/unpublish/", {}, ["publish"]),
    ("POST", "{items}/bulk/schedule/", {"ids": ["{n}"], "publish_at": FAR}, ["schedule"]),
    ("GET", "jobs/", None, ["read"]),
    ("GET", "jobs/{j}/", None, ["read"]),
    (
        "POST",
        "jobs/",
        {"model": "{type}", "id": "{n}", "kind": "publish", "run_at": FAR},
        ["schedule"],
    ),
    ("POST", "jobs/{j}/move/", {"run_at": "2101-01-01T00:00:00Z"}, ["schedule"]),
    ("POST", "jobs/{j}/move/", {"run_at": "2101-01-01T00:00:00Z"}, ["jobs"]),
    ("POST", "jobs/{j}/cancel/", {}, ["jobs"]),
    ("POST", "jobs/{failed}/rerun/", {}, ["jobs"]),
    ("POST", "jobs/rerun/", {"dry_run": True}, ["jobs"]),
    ("GET", "calendar/", None, ["read"]),
]


class World:
    """Items of a type in several statuses, with a job and a failed one."""

    def __init__(self, items: str, make: Any) -> None:
        planned = make()
        job = operations.schedule(item=planned, run_at=FAR_OFF, by=None)
        self.names = {
            "items": items,
            "type": {"stories": "story", "notices": "notice"}[items],
            "n": make().pk,
            "planned": planned.pk,
            "live": make(published=True).pk,
            "j": job.pk,
            "failed": failed_publish().pk,
        }

    def fill(self, text: Any) -> Any:
        if isinstance(text, dict):
            return {name: self.fill(it) for name, it in text.items()}
        if isinstance(text, list):
            return [self.fill(it) for it in text]
        if isinstance(text, str):
            filled = text.format(**self.names)
            return int(filled) if text != filled and filled.isdigit() else filled
        return text


@pytest.mark.usefixtures("unthrottled")
class TestAScope:
    @pytest.mark.parametrize(
        ("items", "make"), [("stories", StoryFactory), ("notices", NoticeFactory)]
    )
    @pytest.mark.parametrize(("method", "path", "body", "needed"), REQUESTS)
    def test_opens_its_routes_and_no_others(
        self, items: str, make: Any, method: str, path: str, body: Any, needed: list[str]
    ) -> None:
        owner, world = superuser(), World(items, make)
        path, body = world.fill(path), world.fill(body)
        # Either of two moves or cancels a job.
        instead = {"schedule", "jobs"} if path.endswith(("/move/", "/cancel/")) else set()

        for scope in needed:
            rest = [it for it in Scope.values if it not in {scope, *instead}]
            refused = send(program(owner, *rest, name=f"not {scope}"), method, path, body)
            problem = refused.json()
            assert (refused.status_code, problem["code"]) == (403, "scope_missing"), problem
            assert refused["Content-Type"] == "application/problem+json"
            assert problem["scope"] in {scope, *instead}
            assert problem["scope"] in problem["detail"]
        done = send(program(owner, *needed, name="enough"), method, path, body)

        assert done.status_code in (200, 201, 204), done.json()

    def test_of_read_opens_head_too(self, editor: User) -> None:
        reader, writer = program(editor, "read"), program(editor, "write", name="w")

        assert reader.head(f"{API}/stories/").status_code == 200
        assert writer.head(f"{API}/stories/").status_code == 403
        assert writer.head(f"{API}/calendar/").status_code == 403

    def test_is_needed_by_no_route_that_is_everybodys(self, editor: User) -> None:
        client = program(editor, "webhooks")

        for path in ("", "schema/", "docs/", "problems/"):
            assert send(client, "GET", path).status_code == 200
        assert client.options(f"{API}/stories/").status_code == 204

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("GET", "auth/keys/"), ("POST", "auth/keys/"), ("DELETE", "auth/keys/{own}/")),
            *(("GET", "auth/tokens/"), ("DELETE", "auth/tokens/"), ("DELETE", "auth/tokens/a/")),
            *(("POST", "auth/logout/"), ("POST", "calendar/"), ("DELETE", "calendar/")),
        ],
    )
    def test_opens_no_further_way_in(self, editor: User, method: str, path: str) -> None:
        key, secret = made(editor)
        body = {"name": "another", "scopes": ["read"]} if path == "auth/keys/" else None

        answer = send(with_secret(secret), method, path.format(own=key.pk), body)

        assert (answer.status_code, answer.json()["code"]) == (403, "sign_in_needed")
        assert ApiKey.objects.count() == 1

    def test_that_was_taken_back_opens_nothing(self, editor: User) -> None:
        client = program(editor)
        ApiKey.objects.update(scopes=["of a later release"])

        assert send(client, "GET", "stories/").json()["code"] == "scope_missing"

    def test_asks_for_more_only_where_the_schedule_changes(self, editor: User) -> None:
        client, story = program(editor, "write"), StoryFactory()

        done = send(client, "PATCH", f"stories/{story.pk}/", {"title": "t", "status": "draft"})

        assert done.status_code == 200

    def test_of_write_deletes_nothing_that_is_live(self, editor: User) -> None:
        draft, live = StoryFactory(), StoryFactory(published=True)
        client, publisher = program(editor, "write"), program(editor, "write", "publish", name="2")

        done = [send(client, "DELETE", f"stories/{it.pk}/") for it in (draft, live)]

        assert [it.status_code for it in done] == [204, 403]
        assert (done[1].json()["code"], done[1].json()["scope"]) == ("scope_missing", "publish")
        assert send(publisher, "DELETE", f"stories/{live.pk}/").status_code == 204

    def test_says_in_korean_what_is_missing(self, editor: User) -> None:
        answer = send(program(editor, "write"), "GET", "stories/", HTTP_ACCEPT_LANGUAGE="ko").json()

        assert "read" in answer["detail"]
        assert answer["detail"] != "This key lacks the scope “read”."


class TestAKeyForOneType:
    @pytest.fixture
    def client(self) -> APIClient:
        return program(superuser(), only_type="content.story")

    def test_opens_that_type(self, client: APIClient) -> None:
        story = StoryFactory()

        assert send(client, "PATCH", f"stories/{story.pk}/", {"title": "t"}).status_code == 200
        assert send(client, "POST", f"stories/{story.pk}/publish/", {}).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "notices/", None),
            ("GET", "notices/{live}/", None),
            ("POST", "notices/", {"title": "t"}),
            ("PATCH", "notices/{n}/", {"title": "t"}),
            ("DELETE", "notices/{n}/", None),
            ("POST", "notices/{n}/publish/", {}),
            ("POST", "notices/bulk/schedule/", {"ids": ["{n}"], "publish_at": FAR}),
            (
                "POST",
                "jobs/",
                {"model": "notice", "id": "{live}", "kind": "unpublish", "run_at": FAR},
            ),
        ],
    )
    def test_opens_no_other(self, client: APIClient, method: str, path: str, body: Any) -> None:
        world = World("notices", NoticeFactory)

        answer = send(client, method, world.fill(path), world.fill(body))

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert answer.json()["scope"] == "content.notice"
        assert "content.story" in answer.json()["detail"]

    def test_knows_no_jobs_of_another(self, client: APIClient) -> None:
        job = operations.schedule(item=NoticeFactory(), run_at=FAR_OFF, by=None)
        own = operations.schedule(item=StoryFactory(), run_at=FAR_OFF, by=None)
        failed = failed_job(NoticeFactory())

        assert [it["id"] for it in send(client, "GET", "jobs/").json()["results"]] == [own.pk]
        for path in (f"jobs/{job.pk}/move/", f"jobs/{job.pk}/cancel/", f"jobs/{failed.pk}/rerun/"):
            body = {"run_at": FAR} if "move" in path else {}
            assert send(client, "POST", path, body).status_code == 404
        for chosen in ({}, {"ids": [failed.pk]}):
            answer = send(client, "POST", "jobs/rerun/", {"dry_run": True, **chosen})
            assert answer.json()["jobs"] == []

    def test_opens_nothing_once_the_type_is_gone(self, client: APIClient) -> None:
        ApiKey.objects.update(type="content.gone")

        for path in ("stories/", "jobs/"):
            assert send(client, "GET", path).json()["code"] == "scope_missing"


def views(patterns: list[Any], before: str = "") -> Iterator[tuple[Any, str]]:
    """Return every view of the API with each of its methods."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns, before + str(pattern.pattern))
        elif isinstance(pattern, URLPattern) and before.startswith("api/v1/") and pattern.name:
            callback: Any = pattern.callback
            view_class = getattr(callback, "cls", None) or callback.view_class
            view = view_class(**getattr(callback, "initkwargs", {}))
            actions = getattr(callback, "actions", None) or {
                name: ""
                for name in ("get", "post", "put", "patch", "delete")
                if hasattr(view, name)
            }
            for method, action in actions.items():
                if action:
                    view.action = action
                yield view, method


class TestTheTable:
    def test_has_every_route_and_no_other(self) -> None:
        there = set()
        for view, method in views(get_resolver().url_patterns):
            there.add((resource_of(view), getattr(view, "action", method)))

        # A route that is missing here would be open to a key with `read` or `write`: name it.
        assert {(name, action) for name, actions in TABLE.items() for action in actions} == there

    def test_lets_no_route_of_a_site_go_without_a_scope(self) -> None:
        class AddedView(APIView):
            pass

        for method, scope in {
            "GET": "read",
            "HEAD": "read",
            "PUT": "write",
            "POST": "write",
        }.items():
            assert scopes_of(AddedView(), method) == (Scope(scope),)

    def test_is_heeded_by_views_of_a_site_too(self, editor: User) -> None:
        class AddedView(APIView):
            def post(self, request: Request) -> Response:
                return Response({})

        answers = []
        for scope in ("read", "write"):
            _key, secret = made(editor, scope, name=scope)
            headers = {"Authorization": f"Bearer {secret}"}
            asked = APIRequestFactory().post("/api/v1/added/", {}, headers=headers)
            answers.append(AddedView.as_view()(asked).status_code)

        assert answers == [403, 200]

    def test_leaves_secrets_to_people(self) -> None:
        assert TABLE["keys"] == {"get": NO_KEY, "post": NO_KEY}
        assert [name for name, it in TABLE.items() if ANYBODY in it.values()] == [
            *("login", "index", "problems", "schema", "docs")
        ]


class TestALimit:
    def test_is_each_keys_own(self, editor: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "1/min")
        one, other = program(editor), program(editor, name="other")
        session = client_of(editor)

        asked = [send(it, "GET", "stories/").status_code for it in (one, one, other, session)]

        assert asked == [200, 429, 200, 200]


class TestARepeatedRequest:
    def test_is_not_answered_to_another_key(self, editor: User) -> None:
        wide, narrow = program(editor), program(editor, "write", name="narrow")
        body = {"title": "t", "body": "b", "status": "scheduled", "publish_at": FAR}

        first, again, other = (
            send(client, "POST", "stories/", body, HTTP_IDEMPOTENCY_KEY="once")
            for client in (wide, wide, narrow)
        )

        assert (first.status_code, again.status_code) == (201, 201)
        assert again["Idempotency-Replayed"] == "true"
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


class TestTheAdmin:
    LIST = "/admin/api/apikey/"

    @staticmethod
    def of(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def add(self, user: User, **given: Any) -> Any:
        data = {"name": "import", "scopes": ["read", "write"], "type": "", **given}
        return self.of(user).post(f"{self.LIST}add/", data)

    def test_makes_a_key_and_shows_it_once(self, editor: User) -> None:
        form = self.of(editor).get(f"{self.LIST}add/").content.decode()
        assert "schedule: schedule, move and cancel" in form

        answer = self.add(editor, type="content.story")

        [secret] = set(keys_in(answer))
        key = ApiKey.objects.get()
        assert "no-store" in answer["Cache-Control"]
        assert (key.owner, key.scopes, key.type) == (editor, ["read", "write"], "content.story")
        assert send(with_secret(secret), "GET", "stories/").status_code == 200
        assert not answer.cookies.get("messages")
        for page in ("", f"{key.pk}/change/"):
            assert secret not in self.of(editor).get(f"{self.LIST}{page}").content.decode()

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"name": "there"}, "You have a key of that name already."),
            ({"name": "\x1b[31m"}, "It has characters that cannot be shown."),
            ({"scopes": []}, "This field is required."),
            ({"scopes": ["admin"]}, "Select a valid choice."),
            ({"type": "auth.user"}, "Select a valid choice."),
            (
                {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"},
                "That time has already passed.",
            ),
            (
                {"expires_at_0": "9999-12-31", "expires_at_1": "23:59:59"},
                "That year is out of range.",
            ),
            ({"expires_at_0": "0001-01-01", "expires_at_1": "00:00"}, "That year is out of range."),
        ],
    )
    def test_says_what_is_wrong(self, editor: User, wrong: Any, text: str) -> None:
        made(editor, name="there")

        page = self.add(editor, **wrong)

        assert text in page.content.decode()
        assert ApiKey.objects.count() == 1

    def test_shows_everybody_their_own(self, editor: User, operator: User) -> None:
        mine, _ = made(editor, name="mine")
        theirs, _ = made(operator, name="theirs")

        page = self.of(editor).get(self.LIST).content.decode()

        assert "mine" in page
        assert "theirs" not in page
        for path in ("change", "delete", "history"):
            refused = self.of(editor).get(f"{self.LIST}{theirs.pk}/{path}/")
            assert refused.status_code in (302, 403, 404)
        assert self.of(editor).get(f"{self.LIST}{mine.pk}/change/").status_code == 200

    def test_shows_an_administrator_all_to_view_and_revoke_only(self, editor: User) -> None:
        key, secret = made(editor, name="theirs")
        boss = self.of(superuser())
        path = f"{self.LIST}{key.pk}"

        assert "theirs" in boss.get(self.LIST).content.decode()
        boss.post(f"{path}/change/", {"name": "changed", "scopes": ["read"]})
        key.refresh_from_db()
        assert key.name == "theirs"
        assert secret not in boss.get(f"{path}/change/").content.decode()
        assert boss.post(f"{path}/delete/", {"post": "yes"}).status_code == 302
        assert send(with_secret(secret), "GET", "jobs/").status_code == 401

    def test_revokes_ones_own(self, editor: User) -> None:
        key, secret = made(editor)

        self.of(editor).post(f"{self.LIST}{key.pk}/delete/", {"post": "yes"})

        assert send(with_secret(secret), "GET", "jobs/").status_code == 401
        assert "Deleted API key" in LogEntry.objects.latest("pk").get_change_message()
        history = self.of(superuser()).get(f"/admin/auth/user/{editor.pk}/history/")
        assert "Added API key" in history.content.decode()

    def test_revokes_several_of_ones_own_and_no_others(self, editor: User, operator: User) -> None:
        mine = [made(editor, name=name)[0].pk for name in ("a", "b")]
        theirs, _ = made(operator)
        data = {"action": "delete_selected", "_selected_action": [*mine, theirs.pk], "post": "yes"}

        self.of(editor).post(self.LIST, data)

        assert list(ApiKey.objects.all()) == [theirs]

    def test_has_it_in_everybodys_own_menu(self, editor: User) -> None:
        assert self.LIST in self.of(editor).get("/admin/").content.decode()

    def test_lets_whoever_may_delete_users_delete_their_keys_too(self, editor: User) -> None:
        made(editor)
        boss = self.of(superuser())

        boss.post(f"/admin/auth/user/{editor.pk}/delete/", {"post": "yes"})

        assert not ApiKey.objects.exists()


def keys_in(answer: Any) -> list[str]:
    return re.findall(r"armo_[0-9a-f]{64}", answer.content.decode())
