"""One normal form of text, whoever writes it: what looks alike is alike."""

import json
import unicodedata
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client

from content.importing import Outcome, StoryImporter, find_posts
from content.models import Category, Notice, Story, Tag
from content.text import as_name, compose
from tests.admin_pages import signed_in
from tests.api_clients import API, client_of, person
from tests.database_rows import row
from tests.factories import NoticeFactory, StoryFactory

pytestmark = pytest.mark.django_db

NFC = "가을 café"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.fixture(params=[Category, Tag])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestComposing:
    @pytest.mark.parametrize(
        ("text", "composed"),
        [
            (NFD, NFC),
            (NFC, NFC),
            ("", ""),
            ("李 cafe\u0301", "李 café"),
            ("\U0002f80a", "\U0002f80a"),
            ("e\ufa12\u0301e\u0301", "e\ufa12\u0301é"),
        ],
    )
    def test_leaves_compatibility_ideographs(self, text: str, composed: str) -> None:
        assert compose(text) == composed

    def test_of_a_name_leaves_single_spaces(self) -> None:
        assert as_name(" 새\u00a0 소식\u3000e\u0301 ") == "새 소식 é"


class TestANameOfATagOrCategory:
    def test_is_stored_in_nfc_by_every_way_to_write_it(self, model: Any) -> None:
        model(name=unicodedata.normalize("NFD", "하나")).save()
        model.objects.bulk_create([model(name=unicodedata.normalize("NFD", "둘"))])
        model.objects.create(name="x")
        model.objects.filter(name="x").update(name=unicodedata.normalize("NFD", "셋"))

        assert sorted(model.objects.values_list("name", flat=True)) == sorted(["하나", "둘", "셋"])

    def test_is_what_the_object_has_once_it_is_saved(self, model: Any) -> None:
        made = model.objects.create(name=NFD)

        assert made.name == NFC

    @pytest.mark.parametrize("other", [NFD, f" {NFC}", NFC.replace(" ", "\u00a0")])
    def test_cannot_be_there_twice(self, model: Any, other: str) -> None:
        made = model.objects.create(name=NFC)

        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(name=other)

        assert model.objects.get_or_create(name=other) == (made, False)

    @pytest.mark.parametrize("typed", [NFC, NFD])
    def test_is_found_in_the_admin_by_either_form(self, model: Any, typed: str) -> None:
        model.objects.create(name=NFC)

        page = signed_in("Editors").get(
            f"/admin/content/{model._meta.model_name}/", {"q": typed.split()[0]}
        )

        assert page.context["cl"].result_count == 1

    @pytest.mark.parametrize("blank", ["", " ", "\u3164", "\u200b\u00a0", "\U000e0041"])
    def test_can_be_seen(self, model: Any, blank: str) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(name=blank)
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.bulk_create([model(name=blank)])

    def test_that_is_there_is_refused_by_the_admin(self, model: Any) -> None:
        model.objects.create(name=NFC)

        response = signed_in("Editors").post(
            f"/admin/content/{model._meta.model_name}/add/", {"name": NFD}
        )

        assert response.status_code == 200
        assert model.objects.count() == 1

    def test_may_be_long_in_nfd(self) -> None:
        name = "가" * 100

        signed_in("Editors").post(
            "/admin/content/tag/add/", {"name": unicodedata.normalize("NFD", "각" * 100)}
        )
        answer = client_of(person(group="Editors")).post(
            f"{API}/stories/", {"tags": [unicodedata.normalize("NFD", name)]}, format="json"
        )

        assert answer.status_code == 201
        assert set(Tag.objects.values_list("name", flat=True)) == {name, "각" * 100}


class TestTheApi:
    @pytest.fixture
    def api(self) -> Any:
        return client_of(person(group="Editors"))

    def test_takes_two_forms_of_a_tag_for_one(self, api: Any) -> None:
        body = {"title": "T", "tags": [NFC, NFD], "categories": [NFD], "keywords": [NFD]}

        made = api.post(f"{API}/stories/", body, format="json").json()

        assert (made["tags"], made["categories"], made["keywords"]) == ([NFC], [NFC], [NFC])
        assert Tag.objects.count() == 1

    @pytest.mark.parametrize("blank", ["\u3164", "\u200b", " "])
    def test_refuses_a_name_that_cannot_be_seen(self, api: Any, blank: str) -> None:
        answer = api.post(f"{API}/stories/", {"tags": [blank]}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")

    @pytest.mark.parametrize("written", [NFC, NFD])
    @pytest.mark.parametrize("name", ["tag", "category"])
    def test_finds_a_story_by_either_form(self, api: Any, name: str, written: str) -> None:
        story = StoryFactory(published=True)
        story.tags.add(Tag.objects.create(name=NFC))
        story.categories.add(Category.objects.create(name=NFD))

        found = api.get(f"{API}/stories/", {name: written}).json()["results"]

        assert [it["id"] for it in found] == [story.pk]

    def test_takes_a_slug_in_nfd(self, api: Any) -> None:
        slug = unicodedata.normalize("NFD", "가을-café")

        made = api.post(f"{API}/stories/", {"title": "T", "slug": slug}, format="json")
        again = api.post(f"{API}/stories/", {"title": "T", "slug": "가을-café"}, format="json")

        assert (made.status_code, made.json()["slug"]) == (201, "가을-café")
        assert again.status_code == 400

    def test_counts_the_characters_that_are_stored(self, api: Any) -> None:
        grows = "\u0958" * 200  # one of the few that NFC makes longer

        answer = api.post(f"{API}/stories/", {"title": grows}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")

    def test_lets_somebody_in_by_either_form_of_their_name(self, client: Client) -> None:
        user = person(username="김가을", password="")
        user.set_password("harvest")
        user.save()
        name = unicodedata.normalize("NFD", "김가을")

        answer = client.post(
            f"{API}/auth/login/",
            {"username": name, "password": "harvest"},
            content_type="application/json",
        )

        assert answer.status_code == 200

    def test_finds_an_author_by_either_form_of_their_name(self, api: Any) -> None:
        story = StoryFactory(author=person(username="김가을"))

        name = unicodedata.normalize("NFD", "김가을")
        found = api.get(f"{API}/stories/", {"author": name}).json()["results"]

        assert [it["id"] for it in found] == [story.pk]


class TestAnItem:
    def test_is_stored_composed_by_every_way_to_write_it(self) -> None:
        saved = StoryFactory(title=NFD, body=NFD, summary=NFD, byline=f"{NFD} 李", keywords=[NFD])
        Notice.objects.bulk_create([Notice(title=NFD, body=NFD)])
        Notice.objects.update(body=NFD + NFD)

        story, notice = row(saved), Notice.objects.get()
        assert (story.title, story.body, story.summary, story.keywords) == (NFC, NFC, NFC, [NFC])
        assert story.byline == f"{NFC} 李"
        assert (notice.title, notice.body) == (NFC, NFC + NFC)

    def test_is_found_at_either_form_of_its_address(self, client: Client) -> None:
        StoryFactory(published=True, slug=unicodedata.normalize("NFD", "가을"))

        for form in ("NFC", "NFD"):
            answer = client.get(f"/stories/{unicodedata.normalize(form, '가을')}/")
            assert answer.status_code == 200

    def test_has_a_slug_in_nfc_from_the_form(self) -> None:
        slug = unicodedata.normalize("NFD", "가을-café")
        data = {"title": "T", "slug": slug, "language": "ko", "keywords": "", "extra": "{}"}

        answer = signed_in("Editors").post("/admin/content/story/add/", data)

        assert answer.status_code == 302
        assert Story.objects.get().slug == "가을-café"

    @pytest.mark.parametrize("blank", ["", "\u3164", "\u1160"])
    def test_has_a_slug_that_can_be_seen(self, blank: str) -> None:
        saved = StoryFactory(title="가을", slug=blank)
        [bulk] = Story.objects.bulk_create([Story(title="가을", slug=blank)])

        assert row(saved).slug.startswith("가을-")
        assert row(bulk).slug.startswith("가을-")

    def test_has_keywords_that_can_be_seen_from_the_form(self) -> None:
        data = {"title": "T", "slug": "t", "language": "ko", "extra": "{}", "keywords": "a\n\u3164"}

        answer = signed_in("Editors").post("/admin/content/story/add/", data)

        errors = answer.context["adminform"].form.errors
        assert "Nothing of this name can be seen." in str(errors["keywords"]), errors
        assert not Story.objects.exists()

    def test_has_each_keyword_once_in_the_order_given(self, tmp_path: Path) -> None:
        words, kept = ["달", NFD, f" {NFC}", "달  빛", "달 빛", "별"], ["달", NFC, "달 빛", "별"]
        data = {"title": "T", "language": "ko", "extra": "{}", "keywords": "\n".join(words)}
        post = tmp_path / "a.md"
        post.write_text(f"---\ntitle: F\nkeywords: {json.dumps(words)}\n---\nx")

        saved = StoryFactory(keywords=words)
        assert saved.keywords == kept
        Story.objects.bulk_create([Story(title="B", keywords=words)])
        Story.objects.filter(pk=StoryFactory().pk).update(keywords=words)
        other = StoryFactory()
        other.keywords = words
        Story.objects.bulk_update([other], ["keywords"])
        editor, api = signed_in("Editors"), client_of(person(group="Editors"))
        assert editor.post("/admin/content/story/add/", data).status_code == 302
        made = api.post(f"{API}/stories/", {"title": "A", "keywords": words}, format="json")
        [result] = StoryImporter().run(find_posts([tmp_path]))

        assert (made.status_code, result.outcome) == (201, Outcome.CREATED), result
        assert [story.keywords for story in Story.objects.all()] == [kept] * 7

    @pytest.mark.parametrize("blanks", ["  {}\t", "\u3000{}\n", "\u2003{}\u00a0"])
    def test_has_no_blanks_around_title_and_byline(self, blanks: str, tmp_path: Path) -> None:
        title = blanks.format("가을  수확")
        data = {"title": title, "byline": title}
        post = tmp_path / "a.md"
        post.write_text(f"---\n{json.dumps(data)[1:-1]}\n---\nx".replace(', "', '\n"'))

        StoryFactory(**data)
        Story.objects.bulk_create([Story(**data)])
        Story.objects.filter(pk=StoryFactory().pk).update(**data)
        form = {**data, "slug": "t", "language": "ko", "extra": "{}", "keywords": ""}
        editor, api = signed_in("Editors"), client_of(person(group="Editors"))
        assert editor.post("/admin/content/story/add/", form).status_code == 302
        made = api.post(f"{API}/stories/", data, format="json").json()
        [result] = StoryImporter().run(find_posts([tmp_path]))

        assert not [note for note in result.notes if "title" in str(note)]
        assert made["title"] == "가을  수확"
        stored = list(Story.objects.order_by("pk").values_list("title", "byline"))
        assert stored[:5] == [("가을  수확", "가을  수확")] * 5
        assert len(stored) == 6

    def test_keeps_the_length_of_its_title(self) -> None:
        notice = NoticeFactory(title=unicodedata.normalize("NFD", "각" * 200))

        assert row(notice).title == "각" * 200


class TestWhatWasThereBefore:
    """The rows as an earlier version wrote them."""

    migration: Any = import_module("content.migrations.0008_compose_names")

    @pytest.fixture(autouse=True)
    def _without_constraints(self) -> None:
        with connection.cursor() as cursor:
            for table in ("tag", "category"):
                cursor.execute(
                    f"ALTER TABLE content_{table} DROP CONSTRAINT content_{table}_name_can_be_seen"
                )

    def old(self, model: Any, name: str) -> Any:
        made = model.objects.create(name=f"new {name}")
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {model._meta.db_table} SET name = %s WHERE id = %s", [name, made.pk]
            )
        return made

    def old_slug(self, story: Story, slug: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET slug = %s WHERE id = %s", [slug, story.pk])

    def test_becomes_one_name_with_the_stories_of_both(self, model: Any) -> None:
        field = "tags" if model is Tag else "categories"
        composed, other = self.old(model, NFC), self.old(model, NFD)
        both, second = StoryFactory(), StoryFactory()
        getattr(both, field).set([composed, other])
        getattr(second, field).set([other])

        self.migration.compose_names(apps, None)

        assert list(model.objects.values_list("pk", "name")) == [(composed.pk, NFC)]
        assert [list(getattr(it, field).all()) for it in (both, second)] == [[composed], [composed]]

    def test_is_renamed_when_it_is_alone(self, model: Any) -> None:
        self.old(model, NFD)
        self.old(model, "  spaced\u00a0out ")

        self.migration.compose_names(apps, None)

        assert set(model.objects.values_list("name", flat=True)) == {NFC, "spaced out"}

    def test_goes_if_it_cannot_be_seen(self, model: Any) -> None:
        self.old(model, "\u3164")

        self.migration.compose_names(apps, None)

        assert not model.objects.exists()

    def test_gets_a_numbered_slug_if_another_story_has_its_nfc(self) -> None:
        first, second, third = StoryFactory(slug="가을"), StoryFactory(), StoryFactory()
        self.old_slug(second, unicodedata.normalize("NFD", "가을"))
        self.old_slug(third, unicodedata.normalize("NFD", "겨울"))

        self.migration.compose_slugs(apps, None)

        assert [row(it).slug for it in (first, second, third)] == ["가을", "가을-2", "겨울"]
        assert row(first).version == first.version
        assert row(second).version == second.version + 1

    def test_gets_the_next_number_if_the_first_is_taken(self) -> None:
        for slug in ("가을", "가을-2"):
            StoryFactory(slug=slug)
        story = StoryFactory()
        self.old_slug(story, unicodedata.normalize("NFD", "가을"))

        self.migration.compose_slugs(apps, None)

        assert row(story).slug == "가을-3"


class TestTheLanguageOfAStory:
    @pytest.mark.parametrize("wrong", ["klingon!", "klingon", "english", "x" * 16])
    def test_is_refused_by_every_way_of_saving(self, wrong: str) -> None:
        story = StoryFactory(language="ko")
        story.language = wrong

        with pytest.raises(ValidationError, match="BCP 47"):
            story.full_clean()
        with pytest.raises(ValidationError, match="BCP 47"), transaction.atomic():
            story.save()
        with pytest.raises(ValidationError, match="BCP 47"), transaction.atomic():
            Story.objects.bulk_create([StoryFactory.build(language=wrong)])
        assert list(Story.objects.values_list("language", flat=True)) == ["ko"]

    @pytest.mark.parametrize(
        ("given", "stored"), [("pt_br", "pt-BR"), (" ko ", "ko"), ("", ""), ("in", "id")]
    )
    def test_is_stored_as_the_standard_spells_it(self, given: str, stored: str) -> None:
        story = StoryFactory(language=given)

        assert story.language == row(story).language == stored

    @pytest.mark.parametrize(
        ("old", "new"), [("klingon!", ""), ("pt_br", "pt-BR"), ("ko", "ko"), ("", "")]
    )
    def test_of_an_earlier_version_is_spelled_anew_or_goes(self, old: str, new: str) -> None:
        migration: Any = import_module("content.migrations.0013_spell_languages")
        story = StoryFactory()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET language = %s", [old])

        migration.spell(apps, None)

        assert row(story).language == new
        row(story).save()
