"""Static files as a server serves them: collected, hashed, kept by browsers for good."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from tests.api_clients import superuser
from tests.process.web import serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SITE = {
    "DJANGO_SETTINGS_MODULE": "armo.settings",
    "DEBUG": "off",
    "SECRET_KEY": "Zr8-5Kq2vYt1Lw9_eXo4Bn7mHs3Uj6Gd0PfRcAiTEWyVQxKzNb",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SITE_URL": "https://news.example.org",
}
PAGES = ("/", "/admin/", "/admin/calendar/", "/admin/content/story/add/", "/api/v1/docs/")
HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")
FOR_GOOD = "max-age=315360000, public, immutable"
WHAT_TO_DO = "Run: manage.py collectstatic --noinput"


def get(url: str, cookie: str = "") -> tuple[str, str]:
    """Return an answer's text, and what it says of caches."""
    request = urllib.request.Request(url, headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode(errors="replace"), answer.headers["Cache-Control"] or ""


@pytest.fixture
def cookie(settings: Any) -> str:
    """Give the cookie of a superuser who has signed in to the site."""
    settings.SECRET_KEY = SITE["SECRET_KEY"]
    client = Client()
    client.force_login(superuser())
    return f"sessionid={client.cookies['sessionid'].value}"


class TestStaticFiles:
    def test_that_are_collected_are_kept_for_good(self, tmp_path: Path, cookie: str) -> None:
        site = {**SITE, "STATIC_ROOT": str(tmp_path / "files")}
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
            cwd=django_settings.BASE_DIR,
            env={**os.environ, **site, "DATABASE_URL": "postgres://nowhere/armo"},
            check=True,
        )

        with serving(tmp_path / "log", **site) as web:
            pages = [get(web.url + page, cookie)[0] for page in PAGES]
            found = {
                path
                for page in pages
                for path in re.findall(r'(?:href|src)="(/static/[^"]+)', page)
            }
            answers = {path: get(web.url + path) for path in found}
            named = {
                f"{path.rpartition('/')[0]}/{name}"
                for path, (text, _) in answers.items()
                for name in re.findall(r"url\(['\"]?([^'\":)]+)['\"]?\)", text)
                if path.endswith(".css")
            }
            answers |= {path: get(web.url + path) for path in named}

        assert len(found) > 15
        assert named
        assert [path for path in answers if not HASHED.search(path)] == []
        assert {caches for _, caches in answers.values()} == {FOR_GOOD}
        assert WHAT_TO_DO not in web.log.read_text()
