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
    return run("manage.py", *arguments, **env)


def run(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with DEBUG off and only these settings."""
    unset = {"SECRET_KEY": "", "DATABASE_URL": "", "DEBUG": "off", "LOG_FORMAT": "console"}
    return subprocess.run(
        [sys.executable, *arguments],
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
                " strict-origin-when-cross-origin, unsafe-url, not 'nonsense'.",
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
            ({"WORKERS": "two"}, "WORKERS must be a whole number from 1 to 1000, not 'two'."),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_without_a_setting_ends_with_one_line(self, missing: dict[str, str], line: str) -> None:
        result = manage("jobs", **{**ENOUGH, **missing})

        assert (result.returncode, result.stderr.splitlines()) == (1, [line])

    def test_without_its_database_ends_with_one_line(self) -> None:
        result = manage("jobs", **ENOUGH)

        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert "Connection refused" in result.stderr

    @pytest.mark.parametrize("command", [("check",), ("qcluster",), ("-m", "gunicorn")])
    def test_with_a_bad_value_ends_with_one_line(self, command: tuple[str, ...]) -> None:
        bad = {"TIME_ZONE": "Seoul"}
        if command[0] == "-m":
            result = run(*command, "armo.wsgi", "--workers=2", "--log-level=error", **ENOUGH, **bad)
        else:
            result = manage(*command, **ENOUGH, **bad)

        line = "TIME_ZONE must be a time zone, such as Asia/Seoul, not 'Seoul'."
        assert (result.returncode, result.stderr.splitlines()) == (1, [line])

    def test_by_another_web_server_ends_with_one_line(self) -> None:
        result = run("-c", "import armo.wsgi", **ENOUGH, WORKERS="0")

        line = "WORKERS must be a whole number from 1 to 1000, not '0'."
        assert (result.returncode, result.stderr.splitlines()) == (4, [line])

    def test_in_production_passes_djangos_own_checks(self) -> None:
        result = manage("check", **ENOUGH)

        assert (result.returncode, result.stderr) == (0, "")
