"""A save adds no problem to what is live or scheduled."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat
from django.forms import modelform_factory
from django.test.utils import CaptureQueriesContext

from content.models import Notice, Story
from scheduling import operations
from scheduling.models import Status
from scheduling.operations import WouldBreak
from tests.database_rows import row
from tests.factories import FAR_OFF, LONG_AGO, NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

BLANK = ["", "   ", "\u3164\u200b"]
NO_BODY, NO_TITLE = "Its body is empty.", "It has no title."


def change(item: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(item, name, value)
    return item


class TestASaveOfWhatIsLiveOrScheduled:
    @pytest.fixture(params=["published", "scheduled"])
    def item(self, request: pytest.FixtureRequest) -> Any:
        return row(StoryFactory(**{request.param: True}))

    @pytest.mark.parametrize("blank", BLANK)
    @pytest.mark.parametrize(("name", "problem"), [("title", NO_TITLE), ("body", NO_BODY)])
    def test_is_refused_for_what_it_takes_away(
        self, item: Story, name: str, problem: str, blank: str
    ) -> None:
        with pytest.raises(WouldBreak) as refused:
            change(item, **{name: blank}).save()

        assert [str(it) for it in refused.value.problems] == [problem]
        assert refused.value.code == "not_publishable"
        assert not row(item).publish_problems()
        assert row(item).version == 1

    def test_is_refused_as_well_for_some_of_its_fields(self, item: Story) -> None:
        with pytest.raises(WouldBreak):
            change(item, body="", summary="Short.").save(update_fields=["body", "summary"])

    def test_may_leave_out_what_is_broken_in_the_object_alone(self, item: Story) -> None:
        change(item, body="", summary="Short.").save(update_fields=["summary"])

        assert row(item).summary == "Short."
        assert not row(item).publish_problems()

    def test_is_refused_for_what_an_expression_comes_to(self, item: Story) -> None:
        with pytest.raises(WouldBreak):
            change(item, body=Value(" ")).save()

    def test_takes_an_expression_that_comes_to_something(self, item: Story) -> None:
        before = item.body

        change(item, body=Concat("body", Value(" More."))).save()

        assert row(item).body == f"{before} More."

    def test_is_refused_by_what_an_old_object_still_says(self, item: Story) -> None:
        old = row(item)
        Story.objects.filter(pk=item.pk).update(title="Newer")

        with pytest.raises(WouldBreak):
            change(old, body="").save()

    def test_is_refused_for_an_object_read_before_it_was_scheduled(self) -> None:
        draft = StoryFactory(body="")
        old = row(draft)
        change(row(draft), body="Text.").save()
        operations.schedule(item=row(draft), run_at=FAR_OFF, by=None)

        with pytest.raises(WouldBreak):
            change(old, title="Other").save()

        assert row(draft).body == "Text."

    def test_may_take_it_down_with_the_same_save(self) -> None:
        story = row(StoryFactory(published=True))

        change(story, status=Status.UNPUBLISHED, body="").save()

        assert (row(story).status, row(story).body) == (Status.UNPUBLISHED, "")

    def test_is_not_refused_for_notices_that_say_something(self) -> None:
        notice = row(NoticeFactory(published=True))

        change(notice, body="Until noon.").save()

        with pytest.raises(WouldBreak):
            change(notice, body="").save()
        assert row(notice).body == "Until noon."

    def test_asks_nothing_of_the_database_if_it_is_complete(self, item: Story) -> None:
        change(item, title="Other")

        with CaptureQueriesContext(connection) as queries:
            item.save()

        assert not [it for it in queries if "FOR UPDATE" in it["sql"]]

    def test_keeps_the_row_as_it_was_judged(self, item: Story) -> None:
        with CaptureQueriesContext(connection) as queries:
            change(item, summary="Short.").save(update_fields=["summary"])

        assert [it for it in queries if "FOR UPDATE" in it["sql"]]


class TestWhatWasBrokenBefore:
    @pytest.fixture
    def story(self) -> Any:
        return row(StoryFactory(published=True, title="", body=""))

    def test_is_mended_step_by_step(self, story: Story) -> None:
        change(story, summary="Short.").save()
        change(story, title="Harvest").save()
        change(story, body="Apples.").save()

        assert not row(story).publish_problems()

    def test_cannot_be_broken_further(self) -> None:
        story = row(StoryFactory(published=True, body=""))

        with pytest.raises(WouldBreak) as refused:
            change(story, title="", summary="Short.").save()

        assert [str(it) for it in refused.value.problems] == [NO_TITLE]

    def test_cannot_be_broken_again(self, story: Story) -> None:
        change(story, title="Harvest").save()

        with pytest.raises(WouldBreak):
            change(story, title="").save()


class TestOtherStatuses:
    @pytest.mark.parametrize("status", ["draft", "unpublished", "failed"])
    def test_may_be_incomplete(self, status: str) -> None:
        traits = {} if status == "draft" else {status: True}
        story = row(StoryFactory(**traits))

        change(story, title="", body="").save()

        assert (row(story).status, row(story).title) == (status, "")

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": Status.SCHEDULED, "publish_at": FAR_OFF},
            {"status": Status.PUBLISHED, "published_at": LONG_AGO},
        ],
    )
    def test_are_not_left_by_a_save_with_a_problem(self, fields: dict[str, Any]) -> None:
        draft = row(StoryFactory(body=""))

        with pytest.raises(WouldBreak):
            change(draft, **fields).save()
        with pytest.raises(WouldBreak):
            Story.objects.create(title="Harvest", body="", **fields)

        assert row(draft).status == Status.DRAFT
        assert Story.objects.count() == 1


class TestAnyForm:
    def test_shows_the_problem_at_its_field(self) -> None:
        notice = NoticeFactory(published=True)
        form_class = modelform_factory(Notice, fields=["title", "body"])

        form = form_class({"title": "Lift", "body": " "}, instance=row(notice))

        assert form.errors == {"body": [NO_BODY]}

    def test_of_a_draft_shows_none(self) -> None:
        form_class = modelform_factory(Notice, fields=["title", "body"])

        form = form_class({"title": "", "body": ""}, instance=row(NoticeFactory()))

        assert form.is_valid()
