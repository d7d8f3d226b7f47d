"""What a site with DEBUG off asks of browsers and proxies, and what a setting changes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow

# As in docs/security.md, "Settings of a site".
PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": "Zr8-5Kq2vYt1Lw9_eXo4Bn7mHs3Uj6Gd0PfRcAiTEWyVQxKzNb",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nowhere",
    "ALLOWED_HOSTS": "news.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://news.example.org",
    "SITE_URL": "https://news.example.org",
    "PROXIES": "1",
}
OF_TESTS = (
    *("BEHIND_TLS_PROXY", "TLS_REDIRECT", "SECURE_COOKIES", "HSTS_SECONDS", "PROXIES"),
    *("SITE_URL", "EMAIL_URL", "POSTGRES_DIR"),
    "DJANGO_ALLOW_ASYNC_UNSAFE",  # which the tests of the browser need
)


def python(*arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with the settings of a site, and none of this test run."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_TESTS}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(settings.BASE_DIR),
        env={**kept, **PRODUCTION, "DJANGO_SETTINGS_MODULE": "armo.settings", **env},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


ASK = """
import django, json, sys
django.setup()
from django.test import Client
found = {}
for name, path, headers in json.loads(sys.argv[1]):
    answer = Client(headers=headers).get(path, HTTP_HOST="news.example.org")
    cookies = {key: dict(value) for key, value in answer.cookies.items()}
    found[name] = {"status": answer.status_code, "cookies": cookies,
                   **{key.lower(): value for key, value in answer.headers.items()}}
print(json.dumps(found))
"""
HTTPS = {"X-Forwarded-Proto": "https"}
ASKED = [
    ("plain", "/admin/login/", {}),
    ("secure", "/admin/login/", HTTPS),
    ("api", "/api/v1/problems/", {}),
    ("health", "/health/live/", {}),
]


def ask(**env: str) -> dict[str, dict[str, Any]]:
    result = python("-c", ASK, json.dumps(ASKED), **env)
    assert result.returncode == 0, result.stderr
    answers: dict[str, dict[str, Any]] = json.loads(result.stdout)
    return answers


class TestASite:
    def test_passes_every_check_of_a_deployment(self) -> None:
        result = python("manage.py", "check", "--deploy", "--fail-level=WARNING")

        assert (result.returncode, result.stderr) == (0, "")

    def test_asks_for_https_and_keeps_its_cookies_to_it(self) -> None:
        answers = ask()

        for name, path in (("plain", "/admin/login/"), ("api", "/api/v1/problems/")):
            assert answers[name]["status"] == 301
            assert answers[name]["location"] == f"https://news.example.org{path}"
        assert answers["health"]["status"] == 200
        assert answers["secure"]["status"] == 200
        assert answers["secure"]["strict-transport-security"] == "max-age=31536000"
        cookie = answers["secure"]["cookies"]["csrftoken"]
        assert (cookie["secure"], cookie["samesite"]) == (True, "Lax")

    def test_believes_no_proxy_when_it_has_none(self) -> None:
        answers = ask(PROXIES="0")

        assert answers["secure"]["status"] == 301

    def test_with_the_setting_of_a_proxy_alone_ends_with_one_line(self) -> None:
        result = python("manage.py", "check", PROXIES="0", BEHIND_TLS_PROXY="on")

        line = "BEHIND_TLS_PROXY=on needs PROXIES, the number of proxies in front."
        assert (result.returncode, result.stderr.splitlines()) == (1, [line])

    def test_without_tls_says_so_in_its_settings(self) -> None:
        off = dict.fromkeys(("TLS_REDIRECT", "SECURE_COOKIES", "BEHIND_TLS_PROXY"), "off")
        answers = ask(**off, HSTS_SECONDS="0")

        assert answers["plain"]["status"] == 200
        assert not answers["plain"]["cookies"]["csrftoken"]["secure"]
        assert "strict-transport-security" not in answers["plain"]

    def test_has_what_a_setting_says(self) -> None:
        hsts_of_all = {"HSTS_SUBDOMAINS": "on", "HSTS_PRELOAD": "on"}
        answers = ask(HSTS_SECONDS="60", REFERRER_POLICY="no-referrer", **hsts_of_all)

        hsts = "max-age=60; includeSubDomains; preload"
        assert answers["secure"]["strict-transport-security"] == hsts
        assert answers["secure"]["referrer-policy"] == "no-referrer"


class TestDevelopment:
    def test_is_as_before_without_tls(self) -> None:
        answers = ask(DEBUG="on", PROXIES="0")

        assert answers["plain"]["status"] == 200
        assert not answers["plain"]["cookies"]["csrftoken"]["secure"]
        assert "strict-transport-security" not in answers["secure"]
