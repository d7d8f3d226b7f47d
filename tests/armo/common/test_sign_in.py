"""How often a password may be tried, wherever one is asked for."""

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import Any

import psycopg
import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test import Client, RequestFactory
from knox.models import AuthToken

from armo.common import sign_in
from armo.common.sign_in import ACCOUNT_FACTOR, KNOWN_FOR, NETWORK_FACTOR
from tests.api_clients import API

PASSWORD = "열려라 참깨"
HERE = "203.0.113.9"
ELSEWHERE = "198.51.100.1"
LIMIT = 3  # each failure costs the page that says so

pytestmark = pytest.mark.django_db

Try = Callable[..., Any]


@pytest.fixture(autouse=True)
def _limit(settings: Any) -> None:
    settings.AXES_FAILURE_LIMIT = LIMIT


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("발행인", password=PASSWORD)


def try_api(password: str = "wrong", name: str = "발행인", peer: str = HERE, **more: Any) -> Any:
    data = {"username": name, "password": password}
    path = f"{API}/auth/login/"
    return Client().post(path, data, content_type="application/json", REMOTE_ADDR=peer, **more)


def try_admin(password: str = "wrong", name: str = "발행인", peer: str = HERE, **more: Any) -> Any:
    data = {"username": name, "password": password}
    return Client().post("/admin/login/", data, REMOTE_ADDR=peer, **more)


def try_password_change(
    password: str = "wrong", name: str = "발행인", peer: str = HERE, **more: Any
) -> Any:
    client = Client()
    client.force_login(User.objects.get(username=name))
    data = {
        "old_password": password,
        "new_password1": "또 다른 열쇠 하나",
        "new_password2": "또 다른 열쇠 하나",
    }
    return client.post("/admin/password_change/", data, REMOTE_ADDR=peer, **more)


EVERYWHERE = [try_api, try_admin, try_password_change]
FAILED = {try_api: 401, try_admin: 200, try_password_change: 200}
DONE = {try_api: 200, try_admin: 302, try_password_change: 302}


def let_pass(seconds: float) -> None:
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(seconds=seconds))


@pytest.mark.parametrize("attempt", EVERYWHERE)
class TestAnAccountInANetwork:
    def test_is_locked_after_so_many_failures(self, owner: User, attempt: Try) -> None:
        failed = [attempt().status_code for _ in range(LIMIT)]

        wrong, right = attempt(), attempt(PASSWORD)

        assert set(failed) == {FAILED[attempt]}
        assert (wrong.status_code, right.status_code) == (429, 429)
        assert 890 <= int(right["Retry-After"]) <= 900
        assert "no-store" in right["Cache-Control"]

    def test_is_locked_at_every_other_place_too(self, owner: User, attempt: Try) -> None:
        for _ in range(LIMIT):
            attempt()

        assert {each(PASSWORD).status_code for each in EVERYWHERE} == {429}

    def test_is_not_locked_elsewhere(self, owner: User, attempt: Try) -> None:
        for _ in range(LIMIT):
            attempt()

        assert attempt(PASSWORD, peer=ELSEWHERE).status_code == DONE[attempt]

    def test_is_free_when_the_time_is_over(self, owner: User, attempt: Try) -> None:
        for _ in range(LIMIT):
            attempt()
        let_pass(899)
        before = attempt(PASSWORD)
        let_pass(1)

        after = attempt(PASSWORD)

        assert (before.status_code, after.status_code) == (429, DONE[attempt])

    def test_begins_anew_after_a_success(self, owner: User, attempt: Try) -> None:
        for _ in range(LIMIT - 1):
            attempt()
        try_api(PASSWORD)

        failed = [attempt().status_code for _ in range(LIMIT)]

        assert set(failed) == {FAILED[attempt]}

    def test_stays_locked_no_longer_by_further_attempts(self, owner: User, attempt: Try) -> None:
        for _ in range(LIMIT):
            attempt()
        let_pass(600)

        assert int(attempt()["Retry-After"]) <= 300
        assert AccessAttempt.objects.get().failures_since_start == LIMIT


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [try_api, try_admin])
class TestManyAttemptsAtOnce:
    def at_once(self, calls: list[Callable[[], Any]]) -> Counter[int]:
        barrier = Barrier(len(calls))

        def run(call: Callable[[], Any]) -> int:
            barrier.wait()
            try:
                return int(call().status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(calls)) as pool:
            return Counter(pool.map(run, calls))

    def test_check_no_more_passwords_than_the_limit(self, owner: User, attempt: Try) -> None:
        answers = self.at_once([attempt] * 24)

        assert answers == {FAILED[attempt]: LIMIT, 429: 24 - LIMIT}

    def test_find_their_network_locked_whatever_the_name(self, attempt: Try) -> None:
        limit = LIMIT * NETWORK_FACTOR
        AccessAttempt.objects.create(username="x", ip_address=HERE, failures_since_start=limit - 5)

        answers = self.at_once([partial(attempt, name=f"made-up-{n}") for n in range(24)])

        assert answers == {FAILED[attempt]: 5, 429: 19}


class TestANetwork:
    def spray(self, peers: list[str], number: int) -> list[int]:
        return [
            try_api(name=f"made-up-{n}", peer=peers[n % len(peers)]).status_code
            for n in range(number)
        ]

    def test_is_locked_after_failures_of_many_names(self, owner: User) -> None:
        limit = LIMIT * NETWORK_FACTOR

        answers = self.spray([HERE], limit + 1)

        assert answers == [401] * limit + [429]
        assert try_admin(PASSWORD).status_code == 429
        assert try_admin(PASSWORD, peer=ELSEWHERE).status_code == 302

    def test_is_a_64_of_ipv6(self, owner: User) -> None:
        peers = [f"2001:db8:1:2:{n:x}::1" for n in range(LIMIT)]
        for peer in peers:
            try_api(peer=peer)

        assert try_api(PASSWORD, peer="2001:db8:1:2:ffff::1").status_code == 429
        assert try_api(PASSWORD, peer="2001:db8:1:3::1").status_code == 200

    def test_gets_no_attempts_back_by_a_success_of_another_account(self, owner: User) -> None:
        User.objects.create_user("attacker", password=PASSWORD)
        for _ in range(LIMIT):
            try_api()
            try_api(PASSWORD, name="attacker")

        assert try_api(PASSWORD).status_code == 429


class TestAnAccountAttackedFromEverywhere:
    def attack(self) -> None:
        for n in range(ACCOUNT_FACTOR):
            AccessAttempt.objects.create(
                username="발행인", ip_address=f"192.0.2.{n}", failures_since_start=LIMIT
            )

    def test_is_locked_where_its_owner_has_never_been(self, owner: User) -> None:
        self.attack()

        assert try_api(PASSWORD).status_code == 429
        # Until fewer than the limit are left: the oldest that it takes is ten minutes old.
        AccessAttempt.objects.filter(ip_address="192.0.2.0").update(
            attempt_time=F("attempt_time") - timedelta(seconds=600)
        )
        assert 290 <= int(try_admin()["Retry-After"]) <= 300

    def test_is_open_where_its_owner_has_signed_in_lately(self, owner: User) -> None:
        try_api(PASSWORD)
        self.attack()

        assert try_admin(PASSWORD).status_code == 302
        assert try_admin(PASSWORD, peer=ELSEWHERE).status_code == 429

    def test_is_not_open_where_they_signed_in_long_ago(self, owner: User) -> None:
        try_api(PASSWORD)
        AccessLog.objects.update(attempt_time=F("attempt_time") - KNOWN_FOR)
        self.attack()

        assert try_api(PASSWORD).status_code == 429

    def test_has_a_limit_where_its_owner_has_been_too(self, owner: User) -> None:
        try_api(PASSWORD)
        self.attack()

        answers = [try_api().status_code for _ in range(LIMIT + 1)]

        assert answers == [401] * LIMIT + [429]

    def test_leaves_others_alone(self, owner: User) -> None:
        User.objects.create_superuser("other", password=PASSWORD)
        self.attack()

        assert try_admin(PASSWORD, name="other").status_code == 302


class TestBehindAProxy:
    def test_each_client_has_its_own_count(self, owner: User, settings: Any) -> None:
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
        for n in range(LIMIT):
            # What stands before the last, anyone may have written.
            try_api(peer="127.0.0.1", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}, {HERE}")

        def right(forwarded: str) -> Any:
            return try_admin(PASSWORD, peer="127.0.0.1", HTTP_X_FORWARDED_FOR=forwarded)

        assert right(f"10.0.0.99, {HERE}").status_code == 429
        assert right(f"{HERE}, {ELSEWHERE}").status_code == 302

    @pytest.mark.parametrize("proxies", [0, 1])
    def test_an_attacker_locks_out_nobody_else_when_addresses_are_unknown(
        self, owner: User, settings: Any, proxies: int
    ) -> None:
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
        headers = {"HTTP_X_FORWARDED_FOR": "unknown" if proxies else HERE}

        spread = [
            try_api(name=f"made-up-{n}", peer="10.0.0.2", **headers).status_code
            for n in range(LIMIT * NETWORK_FACTOR + 5)
        ]
        of_one = [try_api(name="x", peer="10.0.0.2", **headers) for n in range(LIMIT + 1)]

        assert set(spread) == {401}
        assert of_one[-1].status_code == 429
        assert try_admin(PASSWORD, peer="10.0.0.2", **headers).status_code == 302

    @pytest.mark.parametrize("password", ["wrong", PASSWORD])
    def test_doctor_and_check_say_that_addresses_are_unknown(
        self, owner: User, password: str
    ) -> None:
        try_api(password)
        before = sign_in.check_addresses()

        try_api(password, peer="10.0.0.2", HTTP_X_FORWARDED_FOR=HERE)

        [found] = run_checks(tags=["logins"], include_deployment_checks=True)
        assert (before, found.id) == ([], "armo.W001")
        assert "PROXIES=0" in found.msg

    def test_doctor_and_check_forget_it_after_a_day(self, owner: User) -> None:
        for password in ("wrong", PASSWORD):
            try_api(password, peer="10.0.0.2", HTTP_X_FORWARDED_FOR=HERE)
        for model in (AccessAttempt, AccessLog):
            model.objects.update(attempt_time=F("attempt_time") - timedelta(days=1))

        assert sign_in.check_addresses() == []

    def test_a_header_does_not_dodge_the_count(self, owner: User) -> None:
        for n in range(LIMIT):
            try_api(HTTP_X_FORWARDED_FOR=f"10.0.0.{n}")

        assert try_api(PASSWORD, HTTP_X_FORWARDED_FOR="10.0.0.99").status_code == 429


class TestAFailure:
    @pytest.mark.parametrize("attempt", [try_api, try_admin])
    def test_looks_alike_whatever_is_wrong(self, owner: User, attempt: Try) -> None:
        User.objects.create_superuser("gone", password=PASSWORD, is_active=False)

        answers = [attempt(name="gone"), attempt(PASSWORD, name="gone"), attempt(name="nobody")]

        expected = attempt()
        for answer in answers:
            assert answer.status_code == expected.status_code
            if attempt is try_api:
                assert answer.json() == expected.json()

    @pytest.mark.parametrize("attempt", [try_api, try_admin])
    def test_locks_a_name_that_nobody_has_as_well(self, attempt: Try) -> None:
        answers = [attempt(name="없는 사람").status_code for _ in range(LIMIT + 1)]

        assert answers == [FAILED[attempt]] * LIMIT + [429]

    @pytest.mark.parametrize("attempt", EVERYWHERE)
    def test_is_one_line_with_address_and_account(
        self, owner: User, attempt: Try, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(LIMIT + 1):
            attempt(peer="2001:db8::5")

        lines = [it for it in caplog.records if it.name == "armo.sign_in"]
        assert [it.levelno for it in lines] == [logging.WARNING] * (LIMIT + 1)
        assert lines[0].getMessage() == "Sign-in failed from 2001:db8::5 for '발행인'"
        assert lines[-1].getMessage().startswith("Sign-in refused from 2001:db8::5 for '발행인'")
        facts = vars(lines[0])
        assert (facts["address"], facts["account"]) == ("2001:db8::5", "발행인")
        assert facts["path"] in (f"{API}/auth/login/", "/admin/login/", "/admin/password_change/")

    def test_has_no_address_in_its_line_when_only_a_proxys_is_known(
        self, owner: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        try_api(peer="10.0.0.2", HTTP_X_FORWARDED_FOR=HERE)

        assert "Sign-in failed from unknown for '발행인'" in caplog.messages

    def test_of_somebody_who_may_not_use_the_admin_is_one_too(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        User.objects.create_user("reader", password=PASSWORD)

        answers = [try_admin(PASSWORD, name="reader").status_code for _ in range(LIMIT + 1)]

        assert answers == [200] * LIMIT + [429]
        assert f"Sign-in failed from {HERE} for 'reader'" in caplog.messages

    @pytest.mark.parametrize("attempt", EVERYWHERE)
    def test_leaves_no_password_behind(
        self, owner: User, attempt: Try, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempt("맞지 않는 비밀")

        with connection.cursor() as cursor:
            cursor.execute("SELECT row_to_json(a)::text FROM axes_accessattempt a")
            [[row]] = cursor.fetchall()
        assert "비밀" not in row
        assert not any("비밀" in str(vars(it)) for it in caplog.records)

    def test_is_forgotten_when_its_time_is_over(self) -> None:
        for n in range(20):
            try_api(name=f"made-up-{n}")
        let_pass(900)

        try_api(name="another")

        assert [it.username for it in AccessAttempt.objects.all()] == ["another"]

    def test_that_is_rolled_back_counts_all_the_same(self, owner: User) -> None:
        answers = [try_api(HTTP_ACCEPT="text/html").status_code for _ in range(LIMIT)]

        assert set(answers) == {406}
        # No password was tried, so there is nothing to count.
        assert try_api(PASSWORD, HTTP_ACCEPT="text/html").status_code == 406
        assert AuthToken.objects.count() == 0

    def test_without_a_request_is_not_counted(self, owner: User) -> None:
        assert authenticate(username="발행인", password="wrong") is None
        assert authenticate(username="발행인", password=PASSWORD) == owner
        assert Client().login(username="발행인", password=PASSWORD)
        assert not AccessAttempt.objects.exists()

    def test_without_a_password_is_not_counted(self) -> None:
        request = RequestFactory().get("/", REMOTE_ADDR=HERE)

        assert authenticate(request, certificate="of another way to sign in") is None
        assert not AccessAttempt.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestALockThatSomebodyHolds:
    def test_makes_an_attempt_fail_after_a_while(
        self, owner: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in, "LOCK_TIMEOUT_SECONDS", 1)
        params = connection.get_connection_params()
        params.pop("cursor_factory", None)
        with psycopg.connect(**{**params, "context": None}) as other:
            other.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"network {HERE}"]
            )

            blocked, elsewhere = try_api(PASSWORD), try_api(PASSWORD, peer=ELSEWHERE)

        assert (blocked.status_code, blocked.json()["code"]) == (503, "unavailable")
        assert elsewhere.status_code == 200
        assert try_api(PASSWORD).status_code == 200


class TestANameThatIsOdd:
    @pytest.mark.parametrize(
        "name",
        [
            *("", " ", "\x00", "ed\x00itor", "x" * 10_000, "가" * 10_000, "ﷺ" * 10_000),
            *(
                "\x1b[2J",
                "a\nb",
                "a\r\nb",
                "\u202ea",
                "\x9b31m",
                "'",
                '"',
                "%s%d{}",
                "\ud800",
                "🙂",
            ),
        ],
    )
    @pytest.mark.parametrize("attempt", [try_api, try_admin])
    def test_is_a_failure_like_any(
        self, attempt: Try, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        if attempt is try_admin and name == "\ud800":
            pytest.skip("No form can send it.")

        answer = attempt(name=name)

        assert answer.status_code in (200, 400, 401)
        for message in caplog.messages:
            assert message.isprintable()
            assert len(message) < 400

    def test_is_counted_as_the_name_it_comes_to(self, owner: User) -> None:
        for _ in range(LIMIT):
            try_api(name="발행인")  # the same, of single letters

        assert try_admin(PASSWORD).status_code == 429

    @pytest.mark.parametrize("ask", ["get", "head", "options"])
    def test_is_no_matter_to_other_methods(self, ask: str) -> None:
        for path in ("/admin/login/?username=x&password=y", f"{API}/auth/login/"):
            for _ in range(LIMIT + 1):
                assert getattr(Client(), ask)(path).status_code in (200, 204, 405)
        assert not AccessAttempt.objects.exists()


class TestThePageOfWhatIsLocked:
    @pytest.mark.parametrize(
        ("language", "expected"),
        [("en", "Try again in 15 minutes."), ("ko", "15분 후에 다시 시도하세요.")],
    )
    def test_says_when_to_come_again(self, owner: User, language: str, expected: str) -> None:
        for _ in range(LIMIT):
            try_admin()

        answer = try_admin(HTTP_ACCEPT_LANGUAGE=language)

        assert (answer.status_code, expected in answer.content.decode()) == (429, True)

    def test_is_a_problem_for_programs(self, owner: User) -> None:
        for _ in range(LIMIT):
            try_api()

        answer = try_api()

        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "throttled"
        assert answer.json()["retry_after_seconds"] == int(answer["Retry-After"])

    def test_is_not_what_somebody_signed_in_sees(self, owner: User) -> None:
        client = Client(REMOTE_ADDR=HERE)
        client.force_login(owner)
        for _ in range(LIMIT + 1):
            try_admin()

        assert client.get("/admin/").status_code == 200


class TestUnlocking:
    def lock(self, peer: str = HERE) -> None:
        for _ in range(LIMIT):
            try_api(peer=peer)
        assert try_api(PASSWORD, peer=peer).status_code == 429

    def test_is_done_by_account(self, owner: User) -> None:
        self.lock()

        call_command("axes_reset_username", "발행인")

        assert try_api(PASSWORD).status_code == 200

    @pytest.mark.parametrize("peer", [HERE, "2001:db8:1:2::5"])
    def test_is_done_by_address(self, owner: User, peer: str) -> None:
        self.lock(peer)

        call_command("axes_reset_ip", peer)

        assert try_api(PASSWORD, peer=peer).status_code == 200

    def test_is_done_by_both(self, owner: User) -> None:
        self.lock()
        self.lock(ELSEWHERE)

        call_command("axes_reset_ip_username", HERE, "발행인")

        assert try_api(PASSWORD).status_code == 200
        assert try_api(PASSWORD, peer=ELSEWHERE).status_code == 429

    def test_of_what_is_no_address_is_refused(self) -> None:
        with pytest.raises(CommandError, match="editor is not an IP address"):
            call_command("axes_reset_ip", "editor")

    def test_is_done_of_all(self, owner: User) -> None:
        self.lock()

        call_command("axes_reset")

        assert try_api(PASSWORD).status_code == 200

    def test_begins_with_a_list_that_is_safe_on_a_terminal(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        try_api(name="\x1b[2J\nroot")

        call_command("axes_list_attempts")

        assert capsys.readouterr().out == f"{HERE}\t\\x1b[2J\\nroot\t1\n"


class TestOff:
    def test_locks_nothing_but_logs(
        self, owner: User, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.AXES_LOCK_OUT_AT_FAILURE = False

        answers = {try_api().status_code for _ in range(LIMIT + 5)}

        assert answers == {401}
        assert sum(it.name == "armo.sign_in" for it in caplog.records) == LIMIT + 5


class TestASession:
    def test_goes_on_through_the_update_that_brought_the_limits(self, owner: User) -> None:
        client = Client()
        client.force_login(owner)

        assert client.session["_auth_user_backend"] == "django.contrib.auth.backends.ModelBackend"

    def test_is_not_counted_by_reading_pages(self, owner: User) -> None:
        request = RequestFactory().get("/")

        assert sign_in.seconds_locked(request) == 0
