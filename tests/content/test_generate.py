"""The command that generates stories, run for a few dozen."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import Settings

from content.generate import AUTHORS
from content.models import Story
from content.search import find
from scheduling.models import Job, clock
from scheduling.worker.reconciler import sweep

pytestmark = pytest.mark.django_db

Generate = Callable[..., str]


@pytest.fixture
def generate(settings: Settings) -> Generate:
    """Return the command, which gives back what it prints."""
    settings.DEBUG = True

    def run(**options: Any) -> str:
        out = StringIO()
        call_command("generate", stdout=out, **options)
        return out.getvalue()

    return run


class TestGenerating:
    def test_makes_stories_of_every_kind(self, generate: Generate) -> None:
        said = generate(stories=60, scheduled=20)

        statuses = list(Story.objects.values_list("status", flat=True))
        assert {status: statuses.count(status) for status in statuses} == {
            "scheduled": 20,
            "published": 36,
            "draft": 4,
        }
        assert said == "written: 40 of 40\nscheduled: 20 of 20\n"

    def test_makes_what_is_scheduled_as_any_other(self, generate: Generate) -> None:
        generate(stories=10, scheduled=10)

        soonest = clock.database_now() + timedelta(hours=23)
        assert Job.objects.open().filter(run_at__gt=soonest).count() == 10
        before = list(Job.objects.values_list("pk", "message_id"))
        sweep()  # finds nothing to mend
        assert list(Job.objects.values_list("pk", "message_id")) == before

    def test_gives_each_its_words_categories_and_tags(self, generate: Generate) -> None:
        generate(stories=20)

        story = Story.objects.latest("pk")
        word = story.title.split()[0]
        assert story in find(Story.objects.all(), word)
        assert (story.categories.count(), story.tags.count()) == (1, 2)
        assert story.author is not None
        assert story.published_at is None or story.published_at < clock.database_now()

    def test_adds_as_many_each_time(self, generate: Generate) -> None:
        generate(stories=10)
        generate(stories=10)

        assert Story.objects.count() == 20
        assert User.objects.filter(username__startswith="generated-").count() == AUTHORS

    def test_lets_nobody_in(self, generate: Generate) -> None:
        generate(stories=1)

        for user in User.objects.filter(username__startswith="generated-"):
            assert not user.is_active
            assert not user.has_usable_password()

    def test_is_for_development(self, generate: Generate, settings: Settings) -> None:
        settings.DEBUG = False

        with pytest.raises(CommandError, match="DEBUG"):
            generate(stories=1)
        generate(stories=1, force=True)

        assert Story.objects.count() == 1

    @pytest.mark.parametrize("options", [{"stories": 1, "scheduled": 2}, {"scheduled": -1}])
    def test_of_more_than_there_are_is_refused(
        self, generate: Generate, options: dict[str, int]
    ) -> None:
        with pytest.raises(CommandError) as refused:
            generate(**options)

        assert refused.value.returncode == 2
