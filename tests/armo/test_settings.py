"""What a start needs, and what it says when that is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

ENOUGH = {
    "SECRET_KEY": "N3xP7q-of-no-use-elsewhere-" + "k3Yz" * 8,
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nowhere",
    "ALLOWED_HOSTS": "news.example.org",
}
KEY = ENOUGH["SECRET_KEY"]
KNOWN = "SECRET_KEY is publicly known. Use a long random one, or DEBUG=on."
SHORT = "SECRET_KEY is under 32 characters. Use a long random one, or DEBUG=on."


def manage(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run manage.py with DEBUG off and only these settings."""
    unset = {"SECRET_KEY": "", "DATABASE_URL": "", "DEBUG": "off", "LOG_FORMAT": "console"}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=Path(settings.BASE_DIR),
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "armo.settings", **unset, **env},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.slow
class TestAStart:
    @pytest.mark.parametrize(
        ("missing", "line"),
        [
            ({"SECRET_KEY": ""}, "SECRET_KEY is not set. Set it, or DEBUG=on for development."),
            ({"DATABASE_URL": ""}, "DATABASE_URL is not set. Set it, or DEBUG=on for development."),
            ({"DATABASE_URL": "sqlite:///x"}, "DATABASE_URL must name a PostgreSQL server."),
            (
                {"DATABASE_URL": "postgres://user:secret@one:5432,two:x/armo"},
                "DATABASE_URL cannot be used: a port is no number from 1 to 65535."
                " Write it as postgres://user:password@host:5432/armo.",
            ),
            (
                {"ALLOWED_HOSTS": ""},
                "ALLOWED_HOSTS is not set. Set it, or DEBUG=on for development.",
            ),
            (
                {"ALLOWED_HOSTS": " , ,"},
                "ALLOWED_HOSTS is not set. Set it, or DEBUG=on for development.",
            ),
            (
                {"REFERRER_POLICY": "same-origin, nonsense"},
                "REFERRER_POLICY must be of no-referrer, no-referrer-when-downgrade, origin,"
                " origin-when-cross-origin, same-origin, strict-origin,"
                " strict-origin-when-cross-origin, unsafe-url, not same-origin, nonsense.",
            ),
            ({"SECRET_KEY": "only-for-development-and-known-to-everyone"}, KNOWN),
            ({"SECRET_KEY": "only-for-development-" + KEY}, KNOWN),
            ({"SECRET_KEY": "django-insecure-" + KEY}, KNOWN),
            ({"SECRET_KEY": '"Only-for-development-' + KEY + '"'}, KNOWN),
            (
                {"SECRET_KEY": "abcd" * 20},
                KNOWN.replace("publicly known", "of fewer than 5 different characters"),
            ),
            ({"SECRET_KEY": 'a long random string: python -c "import secrets"'}, KNOWN),
            ({"SECRET_KEY": KEY[:31]}, SHORT),
            (
                {"SECRET_KEY_FALLBACKS": f"{KEY}, only-for-development-and-known-to-everyone"},
                KNOWN.replace("SECRET_KEY", "SECRET_KEY_FALLBACKS"),
            ),
            ({"LOG_FORMAT": "xml"}, "LOG_FORMAT must be console or json."),
            (
                {"VANISHED_AFTER": "1"},
                "VANISHED_AFTER must be 0, or a number of seconds from 3 to 3600.",
            ),
            (
                {"THROTTLE_LOGIN": "ten"},
                "THROTTLE_LOGIN must be failures in a time, as 10/15min, or off.",
            ),
            ({"PROXIES": "-1"}, "PROXIES must be a whole number from 0 to 100, not -1."),
            (
                {"SESSION_HOURS": "0"},
                "SESSION_HOURS must be a whole number from 1 to 87600, not 0.",
            ),
            ({"WORKERS": "two"}, "WORKERS must be a whole number from 1 to 1000, not two."),
            (
                {"RETRY_DELAYS": "10, soon"},
                "RETRY_DELAYS must be whole numbers from 0 to 604800, not 10, soon.",
            ),
            ({"TLS_REDIRECT": "maybe"}, "TLS_REDIRECT must be on or off, not maybe."),
            ({"DEBUG": "nope"}, "DEBUG must be on or off, not nope."),
            (
                {"PERMISSIONS_POLICY": "camera=()\nx"},
                "PERMISSIONS_POLICY must be one line of printable ASCII.",
            ),
            ({"TIME_ZONE": "Seoul"}, "TIME_ZONE must name a time zone, such as Asia/Seoul."),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_without_a_setting_ends_with_one_line(self, missing: dict[str, str], line: str) -> None:
        result = manage("jobs", **{**ENOUGH, **missing})

        assert (result.returncode, result.stderr.splitlines()) == (1, [line])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("", "(True, 10, 900.0)"), ("20/min", "(True, 20, 60.0)"), ("off", "False")],
    )
    def test_takes_how_often_a_sign_in_may_fail(self, text: str, expected: str) -> None:
        ask = (
            "from django.conf import settings as s;"
            "print((True, s.AXES_FAILURE_LIMIT, s.AXES_COOLOFF_TIME.total_seconds())"
            " if s.AXES_LOCK_OUT_AT_FAILURE else False)"
        )

        given = {"THROTTLE_LOGIN": text} if text else {}
        result = manage("shell", "-v0", "-c", ask, **ENOUGH, **given)

        assert result.stdout.strip() == expected, result.stderr

    def test_takes_an_empty_value_for_none(self) -> None:
        names = ("PROXIES", "TLS_REDIRECT", "WORKERS", "QUEUE_LISTEN")
        code = (
            "from django.conf import settings as s;"
            "print(s.PROXIES, s.SECURE_SSL_REDIRECT, s.WORKERS, s.QUEUE_LISTEN)"
        )

        result = manage("shell", "-v0", "-c", code, **ENOUGH, **dict.fromkeys(names, " "))

        assert (result.stdout, result.stderr) == ("0 True 2 True\n", "")

    @pytest.mark.parametrize(
        ("given", "delays"), [({}, "[10, 60, 300]"), ({"RETRY_DELAYS": ""}, "[]")]
    )
    def test_tries_jobs_once_only_where_it_is_set_to_no_delays(
        self, given: dict[str, str], delays: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("RETRY_DELAYS", raising=False)
        code = "from django.conf import settings; print(settings.RETRY_DELAYS)"

        result = manage("shell", "-v0", "-c", code, **ENOUGH, **given)

        assert (result.stdout, result.stderr) == (f"{delays}\n", "")

    def test_without_its_database_ends_with_one_line(self) -> None:
        result = manage("jobs", **ENOUGH)

        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert "Connection refused" in result.stderr

    def test_takes_keys_as_they_are_and_those_of_before(self) -> None:
        code = "from django.conf import settings as s; print(s.SECRET_KEY, s.SECRET_KEY_FALLBACKS)"
        keys = {"SECRET_KEY": f"${KEY}", "SECRET_KEY_FALLBACKS": f"${KEY}1, {KEY}2,"}

        result = manage("shell", "-v0", "-c", code, **{**ENOUGH, **keys})

        assert (result.stdout, result.stderr) == (f"${KEY} ['${KEY}1', '{KEY}2']\n", "")

    def test_takes_lists_with_blanks(self) -> None:
        names = ("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "CORS_ALLOWED_ORIGINS", "FAILURE_EMAILS")
        code = (
            f"from django.conf import settings; print(*(getattr(settings, it) for it in {names}))"
        )

        result = manage("shell", "-v0", "-c", code, **{**ENOUGH, **dict.fromkeys(names, " a, b ,")})

        assert result.stdout == "['a', 'b'] " * 3 + "['a', 'b']\n"

    def test_in_production_passes_djangos_own_checks(self) -> None:
        result = manage("check", **ENOUGH)

        assert (result.returncode, result.stderr) == (0, "")
