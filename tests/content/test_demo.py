"""The demo: what `make run` starts with."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings

from content.checks import check_logins
from content.demo import PEOPLE, WAITS
from content.models import Notice, Story
from scheduling import operations
from scheduling.models import Job, Kind, Schedulable, Status, clock, schedulable_models
from scheduling.queries.health import examine

pytestmark = pytest.mark.django_db

Demo = Callable[[], str]


@pytest.fixture
def demo(settings: Settings) -> Demo:
    """Return the command, which gives back what it prints."""
    settings.DEBUG = True

    def run() -> str:
        out = StringIO()
        call_command("demo", stdout=out)
        return out.getvalue()

    return run


def waiting() -> list[tuple[str, str]]:
    """Return the title and kind of every open job, the next first."""
    return list(Job.objects.open().order_by("run_at").values_list("item_title", "kind"))


def scheduled_items() -> list[Schedulable]:
    return [
        item
        for model in schedulable_models()
        for item in model._base_manager.filter(status=Status.SCHEDULED)
    ]


@pytest.mark.slow
class TestDemo:
    def test_lets_everyone_in_with_the_rights_of_their_group(self, demo: Demo) -> None:
        demo()

        for name, group in PEOPLE.items():
            user = authenticate(username=name, password=name)
            assert isinstance(user, User)
            assert user.is_staff
            # Or nobody could be notified of a failure.
            assert user.email
            assert user.is_superuser is (group is None)
            assert [group.name for group in user.groups.all()] == ([group] if group else [])

    def test_fills_the_front_page(self, demo: Demo, client: Client) -> None:
        demo()

        html = client.get("/").content.decode()

        assert "The minute hand" in html
        assert "예약 발행의 하루" in html
        assert "A word for waiting" not in html
        assert Story.objects.get(slug="a-word-for-waiting").status == Status.DRAFT

    def test_has_posts_that_all_can_be_opened(self, demo: Demo, client: Client) -> None:
        demo()

        for story in Story.objects.published():
            assert client.get(story.get_absolute_url()).status_code == 200

    def test_schedules_items_for_the_next_two_minutes(self, demo: Demo) -> None:
        before = clock.database_now()
        demo()
        after = clock.database_now()

        jobs = list(Job.objects.open().order_by("run_at"))
        assert waiting() == [
            ("The morning edition is out", Kind.PUBLISH),
            ("The lift is resting", Kind.PUBLISH),
            ("점심 전에 읽는 소식", Kind.PUBLISH),
            ("The lift is resting", Kind.UNPUBLISH),
            ("The evening column", Kind.PUBLISH),
        ]
        for job, seconds in zip(jobs, (20, 40, 60, 100, 120), strict=True):
            assert before <= job.run_at - timedelta(seconds=seconds) <= after

    def test_run_again_makes_no_copies(self, demo: Demo) -> None:
        demo()
        counts = [model.objects.count() for model in (User, Story, Notice)]
        jobs = waiting()

        demo()

        assert [model.objects.count() for model in (User, Story, Notice)] == counts
        assert waiting() == jobs

    def test_run_again_has_what_went_live_go_live_again(self, demo: Demo) -> None:
        demo()
        for item in scheduled_items():
            operations.publish_now(item=item, by=None)

        demo()

        assert len(scheduled_items()) == len(WAITS)

    def test_run_again_keeps_what_people_changed(self, demo: Demo) -> None:
        demo()
        editor = User.objects.get(username="editor")
        editor.set_password("another one")
        editor.save()
        editor.groups.clear()
        Story.objects.filter(slug="the-minute-hand").update(title="My own title")

        demo()

        editor.refresh_from_db()
        assert editor.check_password("another one")
        assert not editor.groups.exists()
        assert Story.objects.get(slug="the-minute-hand").title == "My own title"

    def test_goes_on_when_an_item_cannot_be_scheduled(self, demo: Demo) -> None:
        demo()
        operations.unschedule(item=Story.objects.get(slug="the-evening-column"), by=None)
        Story.objects.filter(slug="the-evening-column").update(body="")

        printed = demo()

        assert "The evening column: It cannot go live as it is. Its body is empty." in printed
        assert len(waiting()) == 4

    def test_prints_the_logins_and_what_is_coming(self, demo: Demo, settings: Settings) -> None:
        settings.TIME_ZONE = "Asia/Seoul"

        lines = demo().splitlines()

        job = Job.objects.get(item_title="The morning edition is out")
        at = job.run_at + timedelta(hours=9)
        assert "  editor    write, schedule, publish" in lines
        assert "About to go live (times of Asia/Seoul):" in lines
        assert f"  {at:%H:%M:%S}  in 20 s   The morning edition is out" in lines

    def test_refuses_outside_development(self, demo: Demo, settings: Settings) -> None:
        settings.DEBUG = False

        with pytest.raises(CommandError, match="DEBUG=on") as refusal:
            demo()

        assert refusal.value.returncode == 1
        assert not User.objects.exists()

    def test_refuses_on_a_server_that_is_not_the_embedded_one(
        self, demo: Demo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leave_the_embedded_server(monkeypatch)

        with pytest.raises(CommandError, match="DATABASE_URL"):
            demo()

        assert not User.objects.exists()


def leave_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ENGINE", "django.db.backends.postgresql")


def found_by_doctor() -> tuple[bool, str]:
    [check] = [it for it in examine() if it.name == "settings and logins"]
    return check.ok, check.text


class TestLoginsOfTheDemo:
    @pytest.fixture(params=["DEBUG off", "another server"])
    def elsewhere(
        self,
        request: pytest.FixtureRequest,
        demo: Demo,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Have the demo's data on a site that others can reach."""
        demo()
        if request.param == "DEBUG off":
            settings.DEBUG = False
        else:
            leave_the_embedded_server(monkeypatch)

    @pytest.mark.usefixtures("elsewhere")
    def test_are_found_wherever_others_can_reach_them(self) -> None:
        gone, changed, barred = (
            User.objects.get(username=it) for it in ("author", "editor", "operator")
        )
        gone.delete()
        changed.set_password("another one")
        changed.save()

        assert [it.id for it in check_logins()] == ["content.E001"] * 2
        ok, text = found_by_doctor()
        assert not ok
        assert "login admin works here" in text
        assert "login operator works here" in text
        barred.is_active = False
        barred.save()
        User.objects.filter(username="admin").update(password="!")
        assert found_by_doctor()[0]

    @pytest.mark.usefixtures("elsewhere")
    def test_are_named_by_the_check_before_a_deployment(self) -> None:
        with pytest.raises(SystemCheckError, match=r"content\.E001.*login admin works here"):
            call_command("check", deploy=True)

    def test_are_as_they_should_be_in_development(self, demo: Demo) -> None:
        demo()

        assert check_logins() == []
        assert found_by_doctor() == (True, "Nothing is wrong with them.")

    def test_are_none_without_a_database(self, settings: Settings) -> None:
        settings.DEBUG = False

        with connection.execute_wrapper(refuse):
            assert check_logins() == []


def refuse(*_: object) -> None:
    raise OperationalError("connection refused")
