"""The engine's settings, where a site has none."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone, translation

from scheduling import conf


def mars_and_klingon(person: object) -> tuple[str, str]:
    return "Mars/Olympus_Mons", "tlh"


class TestALocale:
    def test_of_a_person_is_the_sites_when_no_function_is_set(self, settings: Any) -> None:
        settings.LOCALE_OF = None

        with translation.override("ko"), conf.locale_of(get_user_model()()) as language:
            zone = timezone.get_current_timezone()

        assert (language, zone) == ("ko", timezone.get_default_timezone())

    def test_that_is_not_known_any_more_is_the_sites(self, settings: Any) -> None:
        settings.LOCALE_OF = f"{__name__}.mars_and_klingon"

        with conf.locale_of(get_user_model()()) as language:
            zone = timezone.get_current_timezone()

        assert (language, zone) == ("en", timezone.get_default_timezone())


class TestTheSettingsOfTheQueue:
    def test_are_complete_where_a_site_names_only_the_broker(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"broker_class": "scheduling.broker.TimedBroker", "orm": "default"}
        settings.WORKERS, settings.SLOW_WORKERS, settings.HOOK_TIMEOUT = 3, 2, 60

        complete = conf.queue_settings()

        assert complete["cluster_name"] == "publish"
        assert (complete["workers"], complete["timeout"], complete["retry"]) == (3, 60, 210)
        assert complete["ALT_CLUSTERS"] == {
            "slow": {"workers": 2, "queue_limit": 2, "timeout": 80, "retry": 270},
            "mail": {"workers": 1, "queue_limit": 1, "timeout": 60, "retry": 210},
        }

    def test_leave_what_a_site_has_set_and_fit_the_rest_to_it(self, settings: Any) -> None:
        settings.Q_CLUSTER = {
            "timeout": 10,
            "workers": 2,
            "queue_limit": 4,
            "ALT_CLUSTERS": {"mail": {"timeout": 5}, "images": {"workers": 7}},
        }

        complete = conf.queue_settings()

        assert (complete["timeout"], complete["retry"]) == (10, 70)
        assert complete["ALT_CLUSTERS"]["mail"]["retry"] == 45
        assert complete["ALT_CLUSTERS"]["images"] == {"workers": 7}

    def test_of_a_lane_are_those_of_publish_where_it_says_nothing(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"ALT_CLUSTERS": {"images": {"workers": 7}}}
        settings.Q_CLUSTER = conf.queue_settings()

        images, publish = conf.lane_settings("images"), conf.lane_settings("publish")

        assert images == {**publish, "workers": 7}

    def test_are_the_same_when_completed_twice(self, settings: Any) -> None:
        settings.Q_CLUSTER = conf.queue_settings()

        assert conf.queue_settings() == settings.Q_CLUSTER


class TestASetting:
    def test_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(AttributeError, match="NO_SUCH"):
            _ = conf.NO_SUCH
