"""The pages of jobs: their list, history and buttons."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from content.models import Story
from scheduling import operations
from scheduling.admin import JOB_ACTIONS
from scheduling.models import Job, JobEvent, Kind, State, Status
from tests.admin_pages import confirm, list_of, messages_in, page_of, press, submit
from tests.database_rows import failed_end, failed_publish
from tests.factories import FAR_OFF, NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestJobs:
    def test_are_listed_with_their_item(self, operator: Client) -> None:
        story = StoryFactory(title="제목")
        operations.publish_now(item=story, by=None)

        html = operator.get(list_of(Job)).content.decode()

        assert f'<a href="{page_of(story)}">제목</a>' in html
        assert "armo-succeeded" in html

    def test_are_listed_also_when_their_item_is_gone(self, operator: Client) -> None:
        story = StoryFactory(title="사라진 글", scheduled=True)
        story.delete()

        html = operator.get(list_of(Job)).content.decode()

        assert "사라진 글" in html

    @pytest.mark.slow
    def test_are_listed_with_as_many_queries_for_many_as_for_one(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        operator.get(list_of(Job))
        with CaptureQueriesContext(connection) as one:
            operator.get(list_of(Job))
        StoryFactory.create_batch(9, scheduled=True)
        NoticeFactory.create_batch(9, scheduled=True)
        with CaptureQueriesContext(connection) as many:
            operator.get(list_of(Job))

        assert len(many) == len(one)

    def test_are_found_by_title_and_number(self, operator: Client) -> None:
        story = StoryFactory(title="찾는 글", scheduled=True)
        StoryFactory(title="다른 글", scheduled=True)

        for wanted in ("찾는", str(story.pk)):
            html = operator.get(list_of(Job), {"q": wanted}).content.decode()
            assert "찾는 글" in html
            assert "다른 글" not in html

    def test_show_their_history(self, operator: Client) -> None:
        boss: User = UserFactory(username="the-boss")
        story = StoryFactory()
        job = operations.schedule(item=story, run_at=FAR_OFF, by=boss, reason="first")
        operations.move(job=job, run_at=FAR_OFF + timedelta(hours=1), by=boss, reason="second")

        html = operator.get(page_of(job)).content.decode()

        [history] = re.findall('<ol class="armo-history">.*?</ol>', html, re.DOTALL)
        assert re.findall("first|second", history) == ["second", "first"]
        assert "2100-10-31 01:00:00 → 2100-10-31 02:00:00" in history

    def test_show_class_and_traceback_of_a_failed_attempt_to_operators_alone(
        self, operator: Client, editor: Client
    ) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()
        detail = {"error": "a.module.Fault", "traceback": "Traceback <here>"}
        JobEvent.objects.create(
            job=job, what=JobEvent.What.ATTEMPT_FAILED, reason="It broke.", detail=detail
        )

        seen = operator.get(page_of(job)).content.decode()
        pages = [editor.get(page_of(it)).content.decode() for it in (job, story)]

        assert "Traceback &lt;here&gt;" in seen
        assert "a.module.Fault" in seen
        for html in pages:
            assert "It broke." in html
            assert "Traceback &lt;here&gt;" not in html
            assert "a.module.Fault" not in html

    def test_are_cancelled_by_a_button(self, operator: Client) -> None:
        story = StoryFactory(scheduled=True)
        job = Job.objects.get()

        response = press(operator, job, "cancel", reason="wrong day")

        job.refresh_from_db()
        story.refresh_from_db()
        assert response["Location"] == page_of(job)
        assert (job.state, story.status) == (State.CANCELLED, Status.DRAFT)
        assert job.events.latest("pk").reason == "wrong day"

    def test_have_the_token_of_the_button_on_the_page(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        response = submit(strict, page_of(Job.objects.get()), "cancel")

        assert response.status_code == 302
        assert Job.objects.get().state == State.CANCELLED

    def test_are_not_cancelled_twice(self, operator: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        press(operator, job, "cancel")

        response = press(operator, job, "cancel")

        assert "The job has already run or been cancelled." in response.content.decode()
        assert "/cancel/" not in operator.get(page_of(job)).content.decode()

    def test_are_cancelled_by_who_may_schedule_their_type(self, client: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Editors").permissions
        user.user_permissions.set(
            permissions.filter(codename__in=["view_job", "view_story", "schedule_story"])
        )
        client.force_login(user)

        press(client, job, "cancel")

        job.refresh_from_db()
        assert job.state == State.CANCELLED

    def test_are_closed_to_authors(self, author: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()

        response = press(author, job, "cancel")

        job.refresh_from_db()
        assert response.status_code == 404  # they do not see that there is one
        assert author.get(list_of(Job)).status_code == 403
        assert job.state == State.WAITING

    def test_that_failed_are_run_again_by_a_button(self, operator: Client) -> None:
        job = failed_publish()

        response = press(operator, job, "rerun", reason="fixed")

        job.refresh_from_db()
        assert response["Location"] == page_of(job)
        assert messages_in(response) == ["The job runs again."]
        assert (job.state, Story.objects.get().status) == (State.WAITING, Status.SCHEDULED)
        event = job.events.latest("pk")
        assert (event.what, str(event.by), event.reason) == ("rerun", "one-of-Operators", "fixed")

    def test_have_the_token_of_that_button_on_the_page(self, operator: Client) -> None:
        job = failed_publish()
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        submit(strict, page_of(job), "rerun")

        job.refresh_from_db()
        assert job.state == State.WAITING

    def test_offer_the_one_button_that_fits_their_state(self, operator: Client) -> None:
        failed = failed_publish()
        StoryFactory(scheduled=True)
        done = operations.publish_now(item=StoryFactory(), by=None)

        def buttons(job: Job) -> list[str]:
            html = operator.get(page_of(job)).content.decode()
            return [action.name for action in JOB_ACTIONS if f'/{action.name}/"' in html]

        assert buttons(failed) == ["rerun"]
        assert buttons(Job.objects.open().get()) == ["cancel"]
        assert buttons(done) == []

    def test_say_why_they_do_not_run_again(self, operator: Client) -> None:
        job = failed_publish()
        operations.publish_now(item=Story.objects.get(), by=None)

        response = press(operator, job, "rerun")

        assert "It has been published since." in response.content.decode()

    def test_are_run_again_by_who_may_rerun_their_type(self, client: Client) -> None:
        job, other = failed_publish(), failed_end()
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Operators").permissions
        names = ["view_job", "view_story", "rerun_story", "view_notice", "schedule_notice"]
        user.user_permissions.set(permissions.filter(codename__in=names))
        client.force_login(user)

        response = press(client, other, "rerun")
        press(client, job, "rerun")

        assert response.status_code == 403
        assert Job.objects.open().get() == job

    @pytest.mark.parametrize("action", JOB_ACTIONS, ids=lambda action: action.name)
    def test_have_buttons_that_need_a_post_with_its_token(
        self, operator: Client, action: Any
    ) -> None:
        job = failed_publish()
        url = reverse(f"admin:scheduling_job_{action.name}", args=[job.pk])
        strict = Client(enforce_csrf_checks=True)
        strict.cookies = operator.cookies

        assert operator.get(url)["Location"] == page_of(job)
        assert strict.post(url).status_code == 403

    def test_are_not_run_again_by_editors(self, editor: Client) -> None:
        job = failed_publish()

        response = press(editor, job, "rerun")
        bulk = {"action": "rerun_selected", "_selected_action": [job.pk]}
        editor.post(list_of(Job), bulk)

        job.refresh_from_db()
        assert response.status_code == 403
        assert job.state == State.FAILED
        assert "/rerun/" not in editor.get(page_of(job)).content.decode()
        assert "rerun_selected" not in editor.get(list_of(Job)).content.decode()

    def test_that_are_selected_run_again_and_each_refusal_is_named(self, operator: Client) -> None:
        good, end = failed_publish(title="좋은 글"), failed_end()
        published = failed_publish(title="이미 나간 글")
        operations.publish_now(item=Story.objects.get(title="이미 나간 글"), by=None)

        response = confirm(operator, Job, "rerun_selected", good.pk, end.pk, published.pk)

        assert messages_in(response) == [
            "Run again: 2 done.",
            "Run again: “이미 나간 글”: It has been published since.",
        ]
        assert set(Job.objects.open()) == {good, end}
        assert str(good.events.latest("pk").by) == "one-of-Operators"

    def test_that_are_selected_run_again_only_of_types_one_has_the_right_to(
        self, client: Client
    ) -> None:
        job, other = failed_publish(), failed_end(title="남의 공지")
        user = UserFactory(is_staff=True)
        permissions = Group.objects.get(name="Operators").permissions
        names = ["view_job", "view_story", "rerun_story", "view_notice", "schedule_notice"]
        user.user_permissions.set(permissions.filter(codename__in=names))
        client.force_login(user)

        response = confirm(client, Job, "rerun_selected", job.pk, other.pk)

        assert messages_in(response) == [
            "Run again: 1 done.",
            "Run again: “남의 공지”: You have no right to do this.",
        ]
        assert Job.objects.open().get() == job

    def test_are_edited_by_nobody(self, admin_client: Client) -> None:
        StoryFactory(scheduled=True)
        job = Job.objects.get()

        for name, args in (("add", []), ("delete", [job.pk])):
            url = reverse(f"admin:scheduling_job_{name}", args=args)
            assert admin_client.get(url).status_code == 403
        assert admin_client.post(page_of(job), {"state": "succeeded"}).status_code == 403


class TestAName:
    """What a job calls its item."""

    def test_follows_its_item_until_the_job_is_done(self, editor: Client) -> None:
        StoryFactory(published=True)
        failed, story = failed_publish(title="옛 제목"), StoryFactory(title="옛 제목")
        done = operations.publish_now(item=story, by=None)
        planned = operations.schedule(item=story, kind=Kind.UNPUBLISH, run_at=FAR_OFF, by=None)

        for item in Story.objects.filter(title="옛 제목"):
            item.title = "새 제목"
            item.save()

        names = dict(Job.objects.values_list("pk", "item_title"))
        assert names[failed.pk] == names[planned.pk] == "새 제목"
        assert names[done.pk] == "옛 제목"

    @pytest.mark.parametrize(
        ("term", "found"),
        [("story:{pk}", True), ("{pk}", True), ("제목: 둘", True), ("x:1", False)],
    )
    def test_finds_its_job(self, operator: Client, term: str, found: bool) -> None:
        story = StoryFactory(title="제목: 둘", scheduled=True)

        page = operator.get(list_of(Job), {"q": term.format(pk=story.pk)})

        assert bool(page.context["cl"].result_list) == found
