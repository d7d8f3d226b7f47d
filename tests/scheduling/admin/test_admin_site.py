"""The admin as a whole: its pages, and the number of queries they make."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from content.models import Notice, Story
from scheduling import operations
from scheduling.models import Job
from tests.admin_pages import SOON_ENOUGH, list_of, page_of, previewed
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db


@pytest.mark.slow
class TestQueries:
    """The number of queries does not grow with the number of rows."""

    def count(self, client: Client, *urls: str) -> list[int]:
        counts = []
        for url in urls:
            client.get(url)  # what a process caches at its first request
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counts.append(len(queries))
        return counts

    def test_are_the_same_for_much_as_for_little(self, operator: Client) -> None:
        job = failed_publish()
        story = StoryFactory(scheduled=True)
        urls = [
            page_of(story),
            reverse("admin:content_story_panel", args=[story.pk]),
            reverse("admin:content_story_live") + f"?ids={story.pk}",
            list_of(Story) + "?due=failed",
            list_of(Job),
            page_of(job),
            reverse("admin-preferences"),
        ]
        few = self.count(operator, *urls)
        for days in range(1, 30):
            at = FAR_OFF + timedelta(days=days)
            operations.schedule(item=story, run_at=at, by=None, reason="또")
        StoryFactory.create_batch(30, scheduled=True, publish_at=FAR_OFF)
        for _ in range(3):
            failed_publish()

        assert self.count(operator, *urls) == few

    def test_to_preview_many_are_the_same_as_for_one(self, editor: Client) -> None:
        stories = StoryFactory.create_batch(30)
        counts = []
        for chosen in (stories[:1], stories):
            pks = [story.pk for story in chosen]
            data = {"rows": str(pks), "run_at": SOON_ENOUGH}
            previewed(editor, Story, "schedule_selected", *pks, **data)
            with CaptureQueriesContext(connection) as queries:
                previewed(editor, Story, "schedule_selected", *pks, **data)
            counts.append(len(queries))

        assert counts[0] == counts[1]


class TestSite:
    def test_says_in_ones_own_language_what_is_refused(self, author: Client) -> None:
        strict = Client(enforce_csrf_checks=True, headers={"Accept-Language": "ko"})
        strict.cookies = author.cookies

        forbidden = author.get(list_of(Job), headers={"Accept-Language": "ko"})
        too_old = strict.post(page_of(StoryFactory()), {})

        assert (forbidden.status_code, too_old.status_code) == (403, 403)
        assert "권한이 없습니다" in forbidden.content.decode()
        assert "입력한 내용은 그대로 있습니다" in too_old.content.decode()

    def test_keeps_its_pages_when_applications_are_loaded_again(self) -> None:
        with override_settings(INSTALLED_APPS=list(settings.INSTALLED_APPS)):
            pass

        assert admin.site.is_registered(Story)

    def test_has_no_page_of_django_q(self) -> None:
        shown = {model._meta.app_label for model in admin.site._registry}

        assert "scheduling" in shown
        assert "django_q" not in shown

    def test_has_a_page_for_every_type_of_content(self) -> None:
        assert admin.site.is_registered(Story)
        assert admin.site.is_registered(Notice)
