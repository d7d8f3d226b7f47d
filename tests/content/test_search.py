import time
from importlib import import_module

import pytest
from django.contrib.postgres.search import SearchVector
from django.db import connection
from django.db.models import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content.models import Story, StorySearch
from content.search import MOST_WORDS, find
from scheduling import operations
from tests.factories import FAR_OFF, StoryFactory

pytestmark = pytest.mark.django_db


def titles(text: str) -> list[str]:
    return sorted(find(Story.objects.all(), text).values_list("title", flat=True))


class TestAStory:
    @pytest.fixture(autouse=True)
    def _stories(self) -> None:
        StoryFactory(
            title="가을 예약 안내",
            body="다음 주부터 **예약을** 받습니다.",
            summary="단풍 구경",
            byline="김하늘",
        )
        StoryFactory(title="Harvest stories", body="The first apples are in; well-known sorts.")
        StoryFactory(title="Cafe\u0301 in Zürich", body="snake_case and a/path/of/words")

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("예약", id="a word with its particle"),
            pytest.param("예약 가을", id="several words, in any order and field"),
            pytest.param("단풍", id="in the summary"),
            pytest.param("김하늘", id="in the byline"),
            pytest.param('"가을 예약"', id="a phrase"),
            pytest.param("예약 -사과", id="without another"),
        ],
    )
    def test_is_found_in_korean(self, text: str) -> None:
        assert titles(text) == ["가을 예약 안내"]

    @pytest.mark.parametrize(
        "text", ["harvest", "HARV", "story", "apple", "well-known", '"first apples"', "the in"]
    )
    def test_is_found_in_english(self, text: str) -> None:
        assert titles(text) == ["Harvest stories"]

    @pytest.mark.parametrize(
        "text", ["café", "cafe\u0301", "zürich", "snake_case", "path/of", "words"]
    )
    def test_is_found_however_its_signs_are_written(self, text: str) -> None:
        assert titles(text) == ["Café in Zürich"]

    @pytest.mark.parametrize(
        "text", ["겨울", "예약 겨울", '"예약 가을"', "harvest -apples", "", " ", "!!!", "앱"]
    )
    def test_is_not_found_by_what_it_does_not_hold(self, text: str) -> None:
        assert titles(text) == []

    @pytest.mark.parametrize(
        "text",
        ["a' | 'b", "\\", "'", '"', '"""', "-", "--", "q:*", ":*", "!", "&|!()", "\x00", "\ud800"],
    )
    def test_needs_no_grammar(self, text: str) -> None:
        assert titles(text) == []

    def test_is_asked_for_no_more_than_some_words(self) -> None:
        assert titles(" ".join(["harvest"] * MOST_WORDS + ["겨울"])) == ["Harvest stories"]

    @settings(
        max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        st.text(alphabet=st.characters(), max_size=80)
        | st.text("ab'\"\\:*&|!()<-> 가", max_size=40)
    )
    @pytest.mark.slow
    def test_is_looked_for_by_any_text_there_is(self, text: str) -> None:
        assert len(titles(text)) <= 3


class TestAWordInsideAnother:
    @pytest.fixture(autouse=True)
    def _stories(self) -> None:
        StoryFactory(title="발행", body="오늘부터 예약발행을 시작합니다. API연동 방법")
        StoryFactory(title="会議", body="今日は東京都で会議があります。スーパーｶﾀｶﾅ")
        StoryFactory(title="事情", body="我想做的事情是发布。𠀋𠀌字")
        StoryFactory(title="Elsewhere", body="예약은 없고 약과 발에 행운이. 東京と京都 북경 서울")

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("발행", "발행"),
            ("예약발행", "발행"),
            ("약발행", "발행"),
            ("발행을", "발행"),
            ('"약발행"', "발행"),
            ("연동", "발행"),
            ("발행 시작", "발행"),
            ("발행 -운영", "발행"),
            ("東京都", "会議"),
            ("京都で", "会議"),
            ("議があり", "会議"),
            ("ーパー", "会議"),
            ("ﾀｶ", "会議"),
            ("会", "会議"),
            ("ｽ -x 都で", ""),
            ("发布", "事情"),
            ("事情是发布", "事情"),
            ("𠀌字", "事情"),
            ("想", "事情"),
            ("东京", ""),
            ("행발", ""),
            ("東京会議", ""),
            ("발행을시작", ""),
            ("약발 -예약", ""),
        ],
    )
    def test_is_found(self, text: str, title: str) -> None:
        assert titles(text) == ([title] if title else [])

    def test_is_left_out_after_a_minus(self) -> None:
        assert titles("예약 -발행") == ["Elsewhere"]

    def test_is_found_at_the_end_of_a_long_text(self) -> None:
        signs = "".join(chr(0xAC00 + n * 7 % 9_000) for n in range(40_000))
        StoryFactory(title="Long", body=f"{signs}예약발행장치")

        assert titles("약발행장") == ["Long"]
        assert titles("발행장치 -예약") == []

    def test_is_found_in_a_story_from_before(self) -> None:
        migration = import_module("content.migrations.0014_words_inside_compounds")
        StorySearch.objects.update(vector=SearchVector(Value("old")))
        english = StoryFactory(title="English")

        migration.fill(None, None)

        assert titles("약발행") == ["발행"]
        assert titles("english") == [english.title]


class TestTheWords:
    def test_follow_the_text(self) -> None:
        story = StoryFactory(title="봄")

        story.title = "여름"
        story.save()

        assert titles("봄") == []
        assert titles("여름") == ["여름"]

    def test_follow_a_text_that_is_written_in_bulk(self) -> None:
        Story.objects.bulk_create(StoryFactory.build_batch(3, title="봄"))

        Story.objects.update(title="가을")

        assert titles("봄") == []
        assert titles("가을") == ["가을"] * 3

    def test_go_with_their_story(self) -> None:
        story = StoryFactory()

        Story.objects.filter(pk=story.pk).delete()

        assert not StorySearch.objects.exists()

    def test_are_not_written_by_a_publish(self) -> None:
        story = StoryFactory()
        before = place_of(story)

        operations.schedule(item=story, run_at=FAR_OFF, by=None)
        operations.publish_now(item=story, by=None)

        assert place_of(story) == before

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param("단어 " * 100_000, id="long"),
            pytest.param(" ".join(f"w{n:x}" for n in range(70_000)), id="of many words"),
            pytest.param("".join(chr(0xAC00 + n % 11_000) for n in range(400_000)), id="one word"),
            pytest.param("a_" * 50_000, id="of underscores"),
            pytest.param("./" * 50_000, id="of slashes"),
            pytest.param("<a " * 50_000, id="of tags without an end"),
            pytest.param("a-" * 50_000, id="of hyphens"),
            pytest.param("a@" * 50_000, id="of addresses"),
            pytest.param("1." * 50_000, id="of numbers"),
            pytest.param("http://" * 20_000, id="of links"),
        ],
    )
    def test_never_keep_a_story_from_being_saved(self, body: str) -> None:
        began = time.monotonic()

        story = StoryFactory(title="찾을 것")
        # Some of them are more than can be rendered, and are refused today.
        with connection.cursor() as cursor:
            cursor.execute("UPDATE content_story SET body = %s WHERE id = %s", [body, story.pk])

        assert titles("찾을") == ["찾을 것"]
        # The parser's worst needs minutes.
        assert time.monotonic() - began < 15


def place_of(story: Story) -> object:
    """Return where the row of words lies: each write would move it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid, xmin FROM content_storysearch WHERE story_id = %s", [story.pk])
        return cursor.fetchone()
