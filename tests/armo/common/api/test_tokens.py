"""Authentication: tokens, sessions, throttling, and cross-site requests."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from knox.models import AuthToken
from rest_framework.throttling import SimpleRateThrottle

from armo.common.api.fields import utc
from scheduling.ical.tokens import find_calendar_user
from tests.api_clients import API, client_of, person
from tests.factories import LONG_AGO, StoryFactory

PASSWORD = "열려라 참깨"
JSON = "application/json"
LOGIN = f"{API}/auth/login/"
TOKENS = f"{API}/auth/tokens/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return with_password("editor")


def with_password(name: str, **fields: Any) -> User:
    made = person(username=name, group="Editors", **fields)
    made.set_password(PASSWORD)
    made.save()
    return made


def log_in(name: str = "editor", password: str = PASSWORD, **headers: Any) -> Any:
    data = {"username": name, "password": password}
    return Client().post(LOGIN, data, content_type=JSON, **headers)


def bearer(token: str, word: str = "Bearer") -> Any:
    return Client(HTTP_AUTHORIZATION=f"{word} {token}")


class TestALogin:
    def test_gives_a_token(self, user: User) -> None:
        answer = log_in()

        assert answer.status_code == 200
        assert answer.json()["username"] == "editor"
        assert bearer(answer.json()["token"]).get(TOKENS).status_code == 200

    @pytest.mark.parametrize(
        ("name", "password"),
        [("editor", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("editor", "")],
    )
    def test_is_refused_without_saying_why(self, user: User, name: str, password: str) -> None:
        with_password("gone", is_active=False)

        answer = log_in(name, password)

        assert answer.status_code == (400 if password == "" else 401)
        if password:
            assert answer.json()["detail"] == "The user name or the password is wrong."
            assert answer.json()["code"] == "not_authenticated"

    def test_that_is_refused_says_what_opens_the_api(self) -> None:
        assert log_in()["WWW-Authenticate"].startswith("Bearer")

    def test_starts_no_session(self, user: User) -> None:
        assert not log_in().cookies

    def test_is_kept_by_nobody(self, user: User) -> None:
        assert set(log_in()["Cache-Control"].split(", ")) == {"no-store"}
        assert log_in(password="wrong")["Cache-Control"] == "no-store"

    def test_is_done_each_time_though_it_has_a_key(self, user: User) -> None:
        first, second = (log_in(HTTP_IDEMPOTENCY_KEY="key") for _ in range(2))

        assert first.json()["token"] != second.json()["token"]
        assert "Idempotency-Replayed" not in second
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM api_keptanswer")
            assert cursor.fetchone() == (0,)

    def test_is_not_minded_by_a_cookie_or_a_token_that_is_over(self, user: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        data = {"username": "editor", "password": PASSWORD}

        by_cookie = client.post(LOGIN, data, content_type=JSON)
        with_token = bearer("over").post(LOGIN, data, content_type=JSON)

        assert (by_cookie.status_code, with_token.status_code) == (200, 200)


class TestAToken:
    @pytest.fixture
    def token(self, user: User) -> str:
        return str(log_in().json()["token"])

    def test_is_kept_as_its_hash(self, token: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM knox_authtoken")
            [row] = cursor.fetchall()

        assert token[:15] in row  # by which its owner recognises it
        assert not any(token[15:] in str(value) for value in row)

    @pytest.mark.parametrize("word", ["Bearer", "bearer", "Token", "TOKEN"])
    def test_opens_what_its_owner_may_do(self, token: str, word: str) -> None:
        assert bearer(token, word).get(f"{API}/jobs/").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            *("Bearer", "Bearer a b", "Bearer {token}x", "Bearer \xff\xfe", "Token ì\x98\x88"),
            *("Bearer {token} ", "Bearer\t{token}", "Bearer a\x00b"),
        ],
    )
    def test_that_is_none_is_refused(self, token: str, header: str) -> None:
        client = Client(HTTP_AUTHORIZATION=header.format(token=token))

        answer = client.get(f"{API}/stories/")

        if header.split() == ["Bearer", "{token}"]:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
            assert answer["WWW-Authenticate"].startswith("Bearer")

    def test_ends(self, user: User, token: str) -> None:
        AuthToken.objects.update(expiry=AuthToken.objects.get().created)

        assert bearer(token).get(TOKENS).status_code == 401

    def test_that_is_over_is_not_listed(self, user: User, token: str) -> None:
        client = Client()
        client.force_login(user)
        log_in()
        AuthToken.objects.filter(token_key=token[:15]).update(expiry=LONG_AGO)

        keys = [row["key"] for row in client.get(TOKENS).json()]

        assert len(keys) == 1
        assert token[:15] not in keys

    def test_says_when_it_ends(self, user: User) -> None:
        body = log_in().json()

        [row] = bearer(body["token"]).get(TOKENS).json()

        assert row["expires_at"] == body["expires_at"] == utc(AuthToken.objects.get().expiry)

    def test_lasts_a_week(self, token: str) -> None:
        row = AuthToken.objects.get()

        assert row.expiry - row.created == pytest.approx(
            timedelta(days=7), abs=timedelta(seconds=1)
        )

    def test_of_somebody_inactive_opens_nothing(self, user: User, token: str) -> None:
        User.objects.update(is_active=False)

        assert bearer(token).get(TOKENS).status_code == 401

    def test_is_one_of_several(self, user: User, token: str) -> None:
        other = log_in().json()["token"]

        rows = bearer(token).get(TOKENS).json()

        assert [(row["key"], row["is_this_one"]) for row in rows] == [
            (other[:15], False),
            (token[:15], True),
        ]

    def test_is_given_back_alone(self, user: User, token: str) -> None:
        other = log_in().json()["token"]

        assert bearer(token).post(f"{API}/auth/logout/").status_code == 204

        assert bearer(token).get(TOKENS).status_code == 401
        assert bearer(other).get(TOKENS).status_code == 200

    def test_is_revoked_by_its_name(self, user: User, token: str) -> None:
        lost = log_in().json()["token"]

        revoked = bearer(token).delete(f"{TOKENS}{lost[:15]}/")

        assert revoked.status_code == 204
        assert bearer(lost).get(TOKENS).status_code == 401
        assert bearer(token).get(TOKENS).status_code == 200

    def test_is_not_anothers_to_see_or_revoke(self, user: User, token: str) -> None:
        with_password("other")
        theirs = log_in("other").json()["token"]

        assert bearer(theirs).delete(f"{TOKENS}{token[:15]}/").status_code == 404
        assert [row["key"] for row in bearer(theirs).get(TOKENS).json()] == [theirs[:15]]
        bearer(theirs).delete(TOKENS)
        assert bearer(token).get(TOKENS).status_code == 200

    @pytest.mark.parametrize("key", ["none", "%00", "a%00b", "-", "예약", "x" * 1000])
    def test_that_is_not_there_cannot_be_revoked(self, user: User, token: str, key: str) -> None:
        assert bearer(token).delete(f"{TOKENS}{key}/").status_code == 404

    def test_goes_with_all_the_others(self, user: User, token: str) -> None:
        other = log_in().json()["token"]

        assert bearer(token).delete(TOKENS).status_code == 204

        for each in (token, other):
            assert bearer(each).get(TOKENS).status_code == 401


class TestASession:
    def test_reads(self, user: User) -> None:
        client = Client()
        client.force_login(user)

        assert client.get(f"{API}/jobs/").status_code == 200

    def test_of_nobody_reads_what_readers_read(self) -> None:
        StoryFactory(published=True)

        assert len(Client().get(f"{API}/stories/").json()["results"]) == 1

    @pytest.mark.parametrize("route", ["auth/logout/", "auth/tokens/"])
    def test_gives_nothing_back_without_a_csrf_token(self, user: User, route: str) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        token = log_in().json()["token"]
        ask = client.delete if route == "auth/tokens/" else client.post

        answer = ask(f"{API}/{route}")

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert client.get(f"{API}/jobs/").status_code == 200
        assert bearer(token).get(TOKENS).status_code == 200

    def test_writes_with_a_csrf_token_only(self, user: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        path = f"{API}/stories/"

        without = client.post(path, {"title": "t"}, content_type=JSON)
        csrf = Client().get("/admin/login/").cookies["csrftoken"].value
        client.cookies["csrftoken"] = csrf
        with_one = client.post(path, {"title": "t"}, content_type=JSON, HTTP_X_CSRFTOKEN=csrf)

        assert (without.status_code, without.json()["code"]) == (403, "permission_denied")
        assert with_one.status_code == 201

    def test_ends_by_a_logout(self, user: User) -> None:
        client = Client()
        client.force_login(user)

        assert client.post(f"{API}/auth/logout/").status_code == 204

        assert client.get(f"{API}/jobs/").status_code == 401


class TestALimit:
    def test_of_logins_is_no_limit_of_anything_else(self, user: User) -> None:
        token = log_in().json()["token"]
        for _ in range(10):
            log_in(password="wrong")

        assert log_in().status_code == 429
        assert Client().get(f"{API}/stories/").status_code == 200
        assert bearer(token).get(TOKENS).status_code == 200

    def test_of_one_person_is_not_anothers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "1/min")
        one, other = client_of(person()), client_of(person())

        asked = [client.get(f"{API}/stories/").status_code for client in (one, one, other)]

        assert asked == [200, 429, 200]

    @pytest.mark.parametrize("scope", ["anon", "user"])
    def test_says_when_to_come_again(self, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, scope, "1/min")
        client = client_of(None if scope == "anon" else person())
        client.get(f"{API}/stories/")

        answer = client.get(f"{API}/stories/")

        assert answer.json()["code"] == "throttled"
        assert 1 <= int(answer["Retry-After"]) <= 60
        assert answer["Cache-Control"] == "no-store"

    def test_of_the_anonymous_is_one_of_their_network(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "anon", "1/min")

        def ask(peer: str) -> int:
            return Client(REMOTE_ADDR=peer).get(f"{API}/stories/").status_code

        peers = ("2001:db8:7:7::1", "2001:db8:7:7:ffff::2", "2001:db8:7:8::1")
        assert [ask(peer) for peer in peers] == [200, 429, 200]

    @pytest.mark.parametrize("scope", ["anon", "user", "bulk"])
    def test_of_its_own_has_each_kind(self, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
        monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, scope, "2/min")
        user = None if scope == "anon" else person(group="Editors")
        client: Any = client_of(user)

        def ask() -> int:
            if scope == "bulk":
                data = {"ids": [1], "publish_at": "2099-01-01T00:00:00Z"}
                path = f"{API}/stories/bulk/schedule/"
                return int(client.post(path, data, format="json").status_code)
            return int(client.get(f"{API}/stories/").status_code)

        answers = [ask() for _ in range(3)]

        assert answers[-1] == 429
        assert 429 not in answers[:-1]


class TestAnotherSite:
    ORIGIN = "https://app.example.org"

    def ask(self) -> Any:
        StoryFactory(published=True)
        return Client().get(f"{API}/stories/", HTTP_ORIGIN=self.ORIGIN)

    def preflight(self) -> Any:
        return Client().options(
            f"{API}/stories/",
            HTTP_ORIGIN=self.ORIGIN,
            HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST",
            HTTP_ACCESS_CONTROL_REQUEST_HEADERS="authorization,if-match,idempotency-key",
        )

    def test_is_let_in_nowhere_unless_allowed(self) -> None:
        for answer in (self.ask(), self.preflight()):
            assert "Access-Control-Allow-Origin" not in answer

    def test_is_let_in_when_it_is_named(self, settings: Any) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.ORIGIN]

        answer, before = self.ask(), self.preflight()

        assert answer["Access-Control-Allow-Origin"] == self.ORIGIN
        exposed = set(answer["Access-Control-Expose-Headers"].split(", "))
        assert {"etag", "location", "retry-after", "idempotency-replayed"} <= exposed
        allowed = set(before["Access-Control-Allow-Headers"].split(", "))
        assert {"authorization", "if-match", "if-none-match", "idempotency-key"} <= allowed
        assert "Access-Control-Allow-Credentials" not in answer
        assert "origin" in answer["Vary"].lower()

    def test_is_shown_what_went_wrong_too(self, settings: Any) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.ORIGIN]

        for path in ("jobs/", "nowhere/", "stories/999999999/"):
            answer = Client().get(f"{API}/{path}", HTTP_ORIGIN=self.ORIGIN)

            assert answer.status_code in (401, 404)
            assert answer["Access-Control-Allow-Origin"] == self.ORIGIN

    def test_may_use_every_method(self, settings: Any) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.ORIGIN]

        allowed = set(self.preflight()["Access-Control-Allow-Methods"].split(", "))

        assert {"GET", "POST", "PATCH", "DELETE"} <= allowed

    def test_is_let_in_by_no_other_name(self, settings: Any) -> None:
        settings.CORS_ALLOWED_ORIGINS = ["https://other.example.org"]

        assert "Access-Control-Allow-Origin" not in self.ask()
        assert "Access-Control-Allow-Origin" not in self.preflight()

    def test_is_let_into_the_api_alone(self, settings: Any) -> None:
        settings.CORS_ALLOWED_ORIGINS = [self.ORIGIN]

        answer = Client().get("/admin/login/", HTTP_ORIGIN=self.ORIGIN)

        assert "Access-Control-Allow-Origin" not in answer


class TestACalendarLink:
    PATH = f"{API}/calendar/"

    def test_is_shown_once_and_opens_ones_calendar(self, user: User) -> None:
        client: Any = client_of(user)
        before = client.get(self.PATH).json()

        made = client.post(self.PATH)

        url = made.json()["url"]
        assert (made.status_code, before["has_link"]) == (201, False)
        assert find_calendar_user(url.rsplit("/", 1)[1].removesuffix(".ics")) == user
        calendar = Client().get(url[url.index("/feeds/") :])
        assert calendar["Content-Type"].startswith("text/calendar")
        after = client.get(self.PATH).json()
        assert after["has_link"]
        assert after["created_at"]
        assert url not in str(after)

    def test_of_before_opens_nothing_any_more(self, user: User) -> None:
        client: Any = client_of(user)
        old, new = (client.post(self.PATH).json()["url"] for _ in range(2))

        statuses = [Client().get(url[url.index("/feeds/") :]).status_code for url in (old, new)]

        assert statuses == [404, 200]

    def test_is_taken_back(self, user: User) -> None:
        client: Any = client_of(user)
        url = client.post(self.PATH).json()["url"]

        assert client.delete(self.PATH).status_code == 204

        assert Client().get(url[url.index("/feeds/") :]).status_code == 404
        assert client.delete(self.PATH).status_code == 204


class TestTheAdmin:
    @pytest.fixture
    def admin(self) -> Client:
        client = Client()
        client.force_login(person(is_staff=True, is_superuser=True))
        return client

    def test_lists_tokens_by_their_first_characters(self, user: User, admin: Client) -> None:
        token = log_in().json()["token"]

        page = admin.get("/admin/knox/authtoken/").content.decode()

        assert f"{token[:15]}…" in page
        assert token not in page

    def test_revokes_one(self, user: User, admin: Client) -> None:
        token = log_in().json()["token"]

        admin.post(
            "/admin/knox/authtoken/",
            {
                "action": "delete_selected",
                "_selected_action": AuthToken.objects.get().pk,
                "post": "yes",
            },
        )

        assert bearer(token).get(TOKENS).status_code == 401

    def test_makes_none(self, admin: Client) -> None:
        assert admin.get("/admin/knox/authtoken/add/").status_code == 403
