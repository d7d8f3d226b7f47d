"""The list of items."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from content.models import Notice, Story
from scheduling.models import Schedulable
from tests.admin_pages import list_of
from tests.factories import NoticeFactory, StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


SEOUL = ZoneInfo("Asia/Seoul")


class TestTheDatesAboveAList:
    @pytest.mark.parametrize(
        ("query", "links"),
        [
            ({}, ["2099", "2101"]),
            ({"publish_at__year": "2101"}, ["January 2101", "March 2101"]),
            ({"publish_at__year": "2101", "publish_at__month": "1"}, ["January 1", "January 31"]),
        ],
        ids=["years", "months", "days"],
    )
    def test_are_those_of_the_readers_time_zone_by_pythons_rules(
        self, editor: Client, settings: Settings, query: dict[str, str], links: list[str]
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        for text in (
            "2099-05-05T00:00",
            "2101-01-01T00:00",
            "2101-01-31T23:59",
            "2101-03-01T00:00",
        ):
            local = datetime.fromisoformat(text).replace(tzinfo=SEOUL)
            StoryFactory(scheduled=True, publish_at=local)

        with CaptureQueriesContext(connection) as queries:
            html = editor.get(list_of(Story), query).content.decode()

        [above] = re.findall(r'<ul class="toplinks.*?</ul>', html, re.DOTALL)
        shown = [
            " ".join(it.split())
            for it in re.findall(r"<li class=\"px-2\">(.*?)</li>", above, re.DOTALL)
        ]
        assert [re.sub("<[^>]*>", "", it).strip() for it in shown] == links
        assert not [it["sql"] for it in queries if "AT TIME ZONE" in it["sql"]]


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
