"""What absolute addresses begin with."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from scheduling import operations
from tests.api_clients import API, client_of, superuser
from tests.armo.test_settings import ENOUGH, manage
from tests.factories import FAR_OFF, StoryFactory

SITE = "https://news.example.org"
HERE = "http://testserver"
PRINT = "from django.conf import settings; print(settings.SITE_URL, settings.GUESSED_SITE_URL)"


def addresses(client: Any) -> list[str]:
    """Return one of each kind of address."""
    story, other = StoryFactory(published=True), StoryFactory(published=True)
    operations.schedule(item=other, kind="unpublish", run_at=FAR_OFF, by=None)
    pages = client.get(f"{API}/stories/?page_size=1").json()
    second = client.get(f"{API}/stories/", query_params=query(pages["next"])).json()
    made = client.post(f"{API}/stories/", {"title": "t"}, format="json")
    job = client.post(
        f"{API}/jobs/",
        {"model": "story", "id": story.pk, "kind": "unpublish", "run_at": FAR_OFF.isoformat()},
        format="json",
    )
    feed = client.get("/feeds/stories/").content.decode()
    found = [pages["next"], second["previous"], made["Location"], job["Location"]]
    return [*found, made.json()["url"], feed.partition("<link>")[2].partition("</link>")[0]]


def query(address: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in urlsplit(address).query.split("&"))


@pytest.mark.django_db
@pytest.mark.usefixtures("unthrottled")
class TestAnAddress:
    def test_begins_with_the_url_of_the_site(self, settings: Any) -> None:
        settings.SITE_URL = SITE
        settings.ALLOWED_HOSTS = ["127.0.0.1"]
        client: Any = client_of(superuser())
        client.defaults["HTTP_HOST"] = "127.0.0.1"

        assert [it for it in addresses(client) if not it.startswith(f"{SITE}/")] == []

    def test_begins_with_the_host_of_the_request_if_the_site_has_no_url(self) -> None:
        found = addresses(client_of(superuser()))

        assert [it for it in found if not it.startswith(f"{HERE}/")] == []

    def test_is_of_no_host_that_is_not_allowed(self, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["news.example.org"]

        assert client_of().get(f"{API}/stories/", HTTP_HOST="evil.example").status_code == 400


@pytest.mark.slow
class TestTheUrlOfTheSite:
    @pytest.mark.parametrize(
        ("env", "printed"),
        [
            ({"SITE_URL": f"{SITE}/"}, SITE),
            ({"SITE_URL": "", "ALLOWED_HOSTS": "a.example"}, "https://a.example https://a.example"),
        ],
    )
    def test_is_guessed_for_mail_if_it_is_not_given(
        self, env: dict[str, str], printed: str
    ) -> None:
        result = manage("shell", "-v", "0", "-c", PRINT, **{**ENOUGH, **env})

        assert result.stdout.strip() == printed

    @pytest.mark.parametrize(
        ("hosts", "printed"),
        [
            (".example.org", "https://example.org"),
            ("*,news.example.org", "https://news.example.org"),
            (".example.org,news.example.org", "https://example.org"),
        ],
    )
    def test_is_guessed_without_the_signs_for_many_hosts(self, hosts: str, printed: str) -> None:
        result = manage("shell", "-v", "0", "-c", PRINT, **{**ENOUGH, "ALLOWED_HOSTS": hosts})

        assert result.stdout.split() == [printed, printed]

    def test_is_needed_where_any_host_is_allowed(self) -> None:
        result = manage("check", **{**ENOUGH, "ALLOWED_HOSTS": "*"})

        assert result.returncode == 1
        assert result.stderr == "SITE_URL is not set, and ALLOWED_HOSTS names no host.\n"

    @pytest.mark.parametrize(("url", "is_warned_of"), [("", True), (SITE, False)])
    def test_is_missed_by_the_check(self, url: str, is_warned_of: bool) -> None:
        result = manage("check", "--deploy", "--tag=security", **{**ENOUGH, "SITE_URL": url})

        assert ("armo.W002" in result.stderr) == is_warned_of

    @pytest.mark.parametrize(
        "url",
        [
            "news.example.org",
            "https://",
            "https://news.example.org?page=1",
            "https://news.example.org/#top",
            "https://name:secret@news.example.org",
        ],
    )
    def test_is_an_address(self, url: str) -> None:
        result = manage("check", **{**ENOUGH, "SITE_URL": url})

        assert result.returncode == 1
        assert result.stderr.startswith("SITE_URL must be an address")
