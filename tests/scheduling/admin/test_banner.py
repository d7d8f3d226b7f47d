"""Pausing and resuming by button, and what every page says meanwhile."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from content.models import Story
from scheduling.models import Job
from scheduling.operations import pause as pausing
from tests.admin_pages import fields_in, list_of, messages_in, page_of
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestPausing:
    def post(self, client: Client, name: str, **data: str) -> Any:
        return client.post(reverse(f"admin:scheduling_job_{name}"), data)

    def test_is_an_operators_with_a_reason(self, operator: Client) -> None:
        response = self.post(operator, "pause", reason="추모 기간")

        pause = pausing.current()
        assert pause is not None
        assert (pause.reason, str(pause.by)) == ("추모 기간", "one-of-Operators")
        assert messages_in(response) == ["Publishing is paused."]

    def test_is_shown_on_every_page(self, operator: Client, editor: Client) -> None:
        story = StoryFactory(scheduled=True)
        self.post(operator, "pause", reason="추모 기간")

        for page in (page_of(story), list_of(Story), reverse("admin:index")):
            assert "추모 기간" in editor.get(page).content.decode()
        assert (
            "Nothing will be published: publishing is paused."
            in editor.get(page_of(story)).content.decode()
        )

    def test_needs_a_reason(self, operator: Client) -> None:
        response = self.post(operator, "pause", reason=" ")

        assert pausing.current() is None
        assert messages_in(response) == ["This field is required."]

    def test_ends_with_a_resume(self, operator: Client) -> None:
        self.post(operator, "pause", reason="점검")

        response = self.post(operator, "resume", reason="끝났다")

        assert pausing.current() is None
        assert messages_in(response)[-1] == "Publishing goes on."
        assert "끝났다" in operator.get(list_of(Job)).content.decode()

    def test_twice_is_refused(self, operator: Client) -> None:
        self.post(operator, "pause", reason="점검")

        response = self.post(operator, "pause", reason="점검")

        assert messages_in(response)[-1] == "Publishing is paused already."

    @pytest.mark.parametrize("seen", [None, "[0]", "[true]", "x", "{}", "[]", "[1e400]"])
    def test_is_not_ended_from_a_page_that_has_shown_another(
        self, operator: Client, seen: str | None
    ) -> None:
        self.post(operator, "pause", reason="점검")
        page = operator.get(list_of(Job)).content.decode()
        pausing.resume(by=None)
        pausing.pause(by=UserFactory(username="bora"), reason="사고")

        response = self.post(operator, "resume", seen=seen or fields_in(page)["seen"])

        pause = pausing.current()
        assert pause is not None
        assert pause.reason == "사고"
        assert messages_in(response)[-1] == (
            "Publishing was resumed meanwhile, and paused again by bora. Look at the reason, and"
            " press again."
        )

    def test_ends_from_the_page_that_has_shown_it(self, operator: Client) -> None:
        self.post(operator, "pause", reason="점검")
        page = operator.get(list_of(Job)).content.decode()

        self.post(operator, "resume", seen=fields_in(page)["seen"])

        assert pausing.current() is None

    def test_is_closed_to_editors(self, editor: Client) -> None:
        response = self.post(editor, "pause")

        assert response.status_code == 403
        assert "armo-pause" not in editor.get(list_of(Job)).content.decode()
        assert pausing.current() is None
