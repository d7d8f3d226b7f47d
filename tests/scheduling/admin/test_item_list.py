"""The list of items."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from content.models import Notice, Story
from scheduling.models import Schedulable
from tests.admin_pages import list_of
from tests.factories import NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestList:
    def test_shows_status_times_and_author(self, editor: Client) -> None:
        user = UserFactory(username="writer")
        StoryFactory(title="제목", scheduled=True, author=user)
        StoryFactory(title="")

        html = editor.get(list_of(Story)).content.decode()

        for part in ("제목", "(no title)", "armo-scheduled", "2100-10-31", "01:00:00", "writer"):
            assert part in html

    def test_searches_and_filters(self, editor: Client) -> None:
        StoryFactory(title="찾는 글", scheduled=True)
        StoryFactory(title="찾는 초안")
        StoryFactory(title="다른 글", scheduled=True)

        html = editor.get(list_of(Story), {"q": "찾는", "status": "scheduled"}).content.decode()

        assert "찾는 글" in html
        assert "찾는 초안" not in html
        assert "다른 글" not in html

    @pytest.mark.slow
    @pytest.mark.parametrize(("model", "factory"), [(Story, StoryFactory), (Notice, NoticeFactory)])
    def test_asks_the_database_as_often_for_many_items_as_for_one(
        self, editor: Client, model: type[Schedulable], factory: Any
    ) -> None:
        extra = {"author": UserFactory()} if model is Story else {}
        factory(**extra)
        with CaptureQueriesContext(connection) as one:
            editor.get(list_of(model))
        for _ in range(9):
            factory(**({"author": UserFactory()} if model is Story else {}))
        with CaptureQueriesContext(connection) as many:
            editor.get(list_of(model))

        assert len(many) == len(one)
