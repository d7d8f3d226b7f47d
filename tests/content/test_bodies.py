"""A body from each entry point to each page."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from content import markdown
from content.importing import Outcome, StoryImporter, find_posts
from content.models import MAX_BODY, UNSEEN_BODY, Story
from scheduling import operations, tasks
from scheduling.models import Job, Status
from tests.admin_pages import page_of, sent, signed_in
from tests.api_clients import API, client_of, superuser
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

HUGE = "<p>" + "".join(f"<b title={n}>" for n in range(3000)) + "<p>x" * 10_000
REASON = "Too many elements of the body are open at once."


class TestABodyBeyondTheBounds:
    def test_is_refused_by_the_api_at_its_field(self) -> None:
        client, story = client_of(superuser()), StoryFactory()

        made = client.post(f"{API}/stories/", {"title": "제목", "body": HUGE}, format="json")
        changed = client.patch(f"{API}/stories/{story.pk}/", {"body": HUGE}, format="json")

        for response in (made, changed):
            assert response.status_code == 400
            [error] = response.json()["errors"]
            assert (error["field"], error["detail"]) == ("body", REASON)

    def test_is_refused_by_the_api_when_it_is_too_long(self) -> None:
        body = {"title": "제목", "body": "가" * (MAX_BODY + 1)}

        [error] = (
            client_of(superuser()).post(f"{API}/stories/", body, format="json").json()["errors"]
        )

        assert (error["field"], error["code"]) == ("body", "max_length")

    @pytest.mark.parametrize("body", [HUGE, "가" * (MAX_BODY + 1), f"{HUGE} e\u0301"])
    @pytest.mark.parametrize("trait", ["published", "scheduled", "failed"])
    def test_of_an_earlier_version_may_be_sent_back_by_programs(
        self, trait: str, body: str
    ) -> None:
        client, story = client_of(superuser()), StoryFactory(**{trait: True})
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [body, story.pk])
        url = f"{API}/stories/{story.pk}/"

        same = client.patch(url, {"title": "새 제목", "body": body}, format="json")
        changed = client.patch(url, {"title": "더", "body": f"{body}!"}, format="json")

        assert (same.status_code, same.json()["title"]) == (200, "새 제목")
        assert changed.status_code == 400
        assert [error["field"] for error in changed.json()["errors"]] == ["body"]

    def test_of_an_earlier_version_is_imported_with_another_title(self, tmp_path: Path) -> None:
        post = tmp_path / "a.md"
        post.write_text("---\ntitle: A\ndate: 2020-01-01\n---\nx")
        [made] = StoryImporter().run(find_posts([tmp_path]))
        story = Story.objects.get()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [HUGE, story.pk])

        post.write_text(f"---\ntitle: B\ndate: 2020-01-01\n---\n{HUGE}")
        [result] = StoryImporter().run(find_posts([tmp_path]))

        assert (made.outcome, result.outcome) == (Outcome.CREATED, Outcome.UPDATED), result
        story.refresh_from_db()
        assert (story.title, story.body) == ("B", HUGE)

    def test_is_refused_by_the_form_at_its_field(self) -> None:
        editor, story = signed_in("Editors"), StoryFactory()

        response = editor.post(page_of(story), sent(editor, story) | {"body": HUGE})

        assert response.context["adminform"].form.errors == {"body": [REASON]}

    def test_is_named_by_the_import(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_text(f"---\ntitle: A\ndate: 2020-01-01\n---\n{HUGE}")

        [result] = StoryImporter().run(find_posts([tmp_path]))

        assert result.outcome == Outcome.FAILED
        assert [str(note) for note in result.notes] == [REASON]

    @pytest.mark.parametrize("trait", ["published", "scheduled"])
    def test_of_an_earlier_version_is_shown_as_it_was_typed(
        self, client: Client, trait: str
    ) -> None:
        story = StoryFactory(**{trait: True})
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [HUGE, story.pk])

        detail = client_of(superuser()).get(f"{API}/stories/{story.pk}/").json()
        feed, page = client.get("/feeds/stories/"), client.get(story.get_absolute_url())

        assert detail["body_html"].startswith("<p>&lt;p&gt;&lt;b title=0&gt;")
        assert feed.status_code == 200
        assert (page.status_code == 200) == (trait == "published")


class TestABodyOfWhichNothingIsSeen:
    def test_keeps_its_item_from_going_live(self) -> None:
        story = StoryFactory(body="<!-- later -->")

        with pytest.raises(operations.NotPublishable) as now:
            operations.publish_now(item=story, by=None)
        with pytest.raises(operations.NotPublishable) as later:
            operations.schedule(item=story, run_at=FAR_OFF, by=None)

        assert now.value.problems == later.value.problems == [UNSEEN_BODY]

    def test_is_imported_as_a_draft(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_text("---\ntitle: A\ndate: 2020-01-01\n---\n[a]: /b")

        [result] = StoryImporter().run(find_posts([tmp_path]))

        assert (result.outcome, result.status) == (Outcome.CREATED, Status.DRAFT)


class TestABodyThatNobodyHasRendered:
    @pytest.mark.parametrize(
        ("body", "status"), [("[가](/b)", Status.PUBLISHED), ("<!-- -->", Status.FAILED)]
    )
    def test_is_judged_by_its_own_run(self, body: str, status: str) -> None:
        story = StoryFactory()
        job = operations.schedule(item=story, run_at=FAR_OFF, by=None)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE content_story SET body = %s, publish_at = %s WHERE id = %s",
                [body, LONG_AGO, story.pk],
            )
        Job.objects.update(run_at=LONG_AGO, next_attempt_at=LONG_AGO)

        try:
            tasks.run_job(job.pk)
        except operations.NotPublishable:
            assert status == Status.FAILED

        story.refresh_from_db()
        assert story.status == status


class TestANewRenderer:
    @pytest.mark.parametrize("made", [StoryFactory, NoticeFactory])
    def test_has_programs_read_the_item_anew(
        self, made: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, item = client_of(superuser()), made(published=True)
        url = f"{API}/{item._meta.verbose_name_plural}/{item.pk}/"
        tag = client.get(url).headers["ETag"]
        known = client.get(url, headers={"If-None-Match": tag}).status_code

        monkeypatch.setattr(markdown, "RENDERER", "another")

        assert (known, client.get(url, headers={"If-None-Match": tag}).status_code) == (304, 200)


class TestAnchors:
    def test_of_several_notices_on_the_front_page_differ(self, client: Client) -> None:
        one, two = (NoticeFactory(published=True, body="a[^1]\n\n[^1]: b") for _ in range(2))

        html = client.get("/").content.decode()

        for notice in (one, two):
            assert html.count(f'id="notice-{notice.pk}-fn1"') == 1
            assert html.count(f'href="#notice-{notice.pk}-fn1"') == 1

    def test_in_a_feed_lead_to_the_page_of_the_story(self, client: Client) -> None:
        StoryFactory(
            published=True,
            slug="one",
            body="## Top\n\n[up](#top)",
            published_at=datetime(2026, 3, 1, tzinfo=UTC),
        )

        feed = client.get("/feeds/stories/").content.decode()

        assert "/stories/one/#top" in feed
        assert "id=&quot;" not in feed
