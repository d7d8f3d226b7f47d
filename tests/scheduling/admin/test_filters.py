"""The filters beside the lists."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from content.models import Category, Story, Tag
from scheduling.models import Job
from tests.admin_pages import list_of
from tests.factories import StoryFactory, UserFactory

pytestmark = pytest.mark.django_db


class TestFilters:
    @pytest.mark.parametrize(
        ("due", "expected"),
        [
            ("today", ["오늘"]),
            ("week", ["오늘", "일요일"]),
            ("overdue", ["늦은"]),
            ("failed", ["실패한"]),
            ("nonsense", ["늦은", "실패한", "오늘", "월요일", "일요일", "초안"]),
        ],
    )
    def test_say_when_it_is_due_in_the_readers_time_zone(
        self, editor: Client, settings: Settings, due: str, expected: list[str]
    ) -> None:
        settings.TIME_ZONE = "Asia/Seoul"
        # In Seoul it is Saturday already.
        now = datetime(2100, 10, 29, 16, 0, tzinfo=UTC)
        StoryFactory(title="초안")
        StoryFactory(title="실패한", failed=True)
        StoryFactory(title="늦은", due=True)
        StoryFactory(title="오늘", scheduled=True, publish_at=now + timedelta(hours=2))
        StoryFactory(title="일요일", scheduled=True, publish_at=now + timedelta(hours=46))
        StoryFactory(title="월요일", scheduled=True, publish_at=now + timedelta(hours=48))

        with time_machine.travel(now):
            editor.force_login(User.objects.get(username="one-of-Editors"))
            rows = editor.get(list_of(Story), {"due": due}).context["cl"].result_list

        assert sorted(story.title for story in rows) == sorted(expected)

    def test_know_category_tag_and_author(self, editor: Client) -> None:
        garden, soon = Category.objects.create(name="정원"), Tag.objects.create(name="곧")
        me = User.objects.get(username="one-of-Editors")
        mine = StoryFactory(author=me)
        mine.categories.add(garden)
        mine.tags.add(soon)
        StoryFactory(author=UserFactory())

        for query in (f"categories={garden.pk}", f"tags={soon.pk}", "author=me"):
            rows = editor.get(f"{list_of(Story)}?{query}").context["cl"].result_list
            assert list(rows) == [mine], query

    def test_offer_as_authors_those_who_have_written(self, editor: Client) -> None:
        last, first = UserFactory(username="zoe"), UserFactory(username="ari")
        UserFactory(username="reads-only")
        for author in (first, last, first, None):
            StoryFactory(author=author)

        html = editor.get(list_of(Story)).content.decode()

        select = re.search(r'<select name="author".*?</select>', html, re.DOTALL)
        assert select
        names = re.findall(r">([^<>]*)</option>", select[0])
        assert [name.strip() for name in names] == ["All", "me", "ari", "zoe"]

    def test_do_not_say_to_an_author_who_else_writes(self, author: Client) -> None:
        StoryFactory(author=UserFactory(username="zoe"))

        html = author.get(list_of(Story)).content.decode()

        assert 'name="author"' in html
        assert "zoe" not in html

    def test_have_words_looked_up_not_listed(self, editor: Client) -> None:
        tags = Tag.objects.bulk_create([Tag(name=f"word-{number:03}") for number in range(600)])

        html = editor.get(list_of(Story), {"tags": tags[599].pk}).content.decode()

        assert "word-599" in html
        assert html.count("word-") == 1
        look_up = {"app_label": "content", "model_name": "story", "field_name": "tags"}
        found = editor.get(reverse("admin:autocomplete"), {**look_up, "term": "word-42"}).json()
        assert [row["text"] for row in found["results"]][:2] == ["word-420", "word-421"]

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["categories", "tags", "author", "status", "due"])
    @pytest.mark.parametrize("value", ["x", "²", "9" * 18, "9" * 30, "-1"])
    def test_survive_what_is_no_choice(self, editor: Client, name: str, value: str) -> None:
        Category.objects.create(name="정원")
        Tag.objects.create(name="곧")

        assert editor.get(list_of(Story), {name: value}).status_code == 200


class TestAList:
    @pytest.mark.parametrize(
        ("name", "query"),
        [
            ("content_story", {"title": "\0"}),
            ("content_story", {"keywords__contains": "\0"}),
            ("content_notice", {"severity__exact": "\0"}),
            ("content_tag", {"name": "\0"}),
            ("scheduling_job", {"reason": "\0"}),
            ("auth_user", {"username": "\0"}),
            ("content_story", {"title__unaccent": "x"}),
            ("content_story", {"title__trigram_similar": "x"}),
            ("content_story", {"id__range": "1"}),
            ("api_apikey", {"created_at__year": "99999"}),
            ("auth_user", {"date_joined__year": "0"}),
            ("knox_authtoken", {"expiry__year": "99999"}),
        ],
    )
    def test_leaves_out_what_postgresql_cannot_compare_with(
        self, admin_client: Client, name: str, query: dict[str, str]
    ) -> None:
        address = reverse(f"admin:{name}_changelist")

        answer = admin_client.get(address, query)

        assert (answer.status_code, answer.headers.get("Location")) == (302, f"{address}?e=1")

    @pytest.mark.parametrize("year", ["9" * 30, str(2**63), "10000", "9999"])
    def test_knows_years_that_have_an_end(self, editor: Client, year: str) -> None:
        for model, name in ((Story, "publish_at"), (Job, "run_at")):
            answer = editor.get(list_of(model), {f"{name}__year": year})

            assert answer.status_code == 400

    @pytest.mark.parametrize("key", ["a", "\0", "9" * 40, "\u0663", ""])
    @pytest.mark.parametrize(
        ("name", "action"),
        [
            *[("content_story", it) for it in ("delete_selected", "publish_selected")],
            *[(it, "delete_selected") for it in ("content_tag", "auth_user", "knox_authtoken")],
            ("scheduling_job", "rerun_selected"),
        ],
    )
    def test_takes_for_chosen_no_key_that_is_none(
        self, admin_client: Client, name: str, action: str, key: str
    ) -> None:
        data = {"action": action, "_selected_action": key}

        answer = admin_client.post(reverse(f"admin:{name}_changelist"), data)

        assert answer.status_code in (200, 302)

    @pytest.mark.parametrize("page", ["change", "delete", "history"])
    @pytest.mark.parametrize("name", ["knox_authtoken", "content_story", "auth_user"])
    def test_has_no_row_with_a_nul_in_its_key(
        self, admin_client: Client, name: str, page: str
    ) -> None:
        address = reverse(f"admin:{name}_{page}", args=["x"]).replace("/x/", "/%00/")

        assert admin_client.get(address).status_code in (302, 404)

    def test_of_what_is_typed_for_leaves_out_a_nul(self, admin_client: Client) -> None:
        Tag.objects.create(name="soon")
        field = {"app_label": "content", "model_name": "story", "field_name": "tags"}

        answer = admin_client.get(reverse("admin:autocomplete"), field | {"term": "so\0on"})

        assert [it["text"] for it in answer.json()["results"]] == ["soon"]
