"""The database after a test that has committed."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from content.models import Story
from scheduling.models import Job
from tests import emptied_database
from tests.factories import FAR_OFF, StoryFactory


def rights() -> list[tuple[str, str]]:
    groups = Group.objects.values_list("name", "permissions__codename")
    return list(groups.order_by("name", "permissions__codename"))


class TestTheDatabase:
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("large_bytes", [0, emptied_database.LARGE_BYTES])
    def test_is_left_as_migrate_left_it(
        self, monkeypatch: pytest.MonkeyPatch, large_bytes: int
    ) -> None:
        before = rights()
        StoryFactory(scheduled=True, publish_at=FAR_OFF)
        Group.objects.filter(name="Editors").delete()
        Permission.objects.filter(codename="add_story").delete()

        monkeypatch.setattr(emptied_database, "LARGE_BYTES", large_bytes)
        call_command("flush", interactive=False)

        assert before
        assert rights() == before
        assert not Story.objects.exists()
        assert not Job.objects.exists()
