"""The engine's settings, where a site has none."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
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
        assert complete["ALT_CLUSTERS"]["images"] == {
            "workers": 7,
            "queue_limit": 4,
            "timeout": 10,
            "retry": 56,
        }

    def test_fit_a_long_lane_that_the_site_has_added(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"retry": 300, "ALT_CLUSTERS": {"reports": {"timeout": 3600}}}
        settings.WORKERS = 2

        reports = conf.queue_settings()["ALT_CLUSTERS"]["reports"]

        assert reports == {"workers": 2, "queue_limit": 2, "timeout": 3600, "retry": 10830}

    @pytest.mark.parametrize("none", [{"Q_CLUSTER": None}, {"Q_CLUSTER": {"ALT_CLUSTERS": None}}])
    def test_are_complete_where_a_site_has_set_none(self, settings: Any, none: Any) -> None:
        settings.Q_CLUSTER = none["Q_CLUSTER"]

        assert list(conf.queue_settings()["ALT_CLUSTERS"]) == ["slow", "mail"]

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"WORKERS": 0}, "WORKERS must be a whole number from 1 to 1000, not 0."),
            ({"SLOW_WORKERS": "2"}, "SLOW_WORKERS must be a whole number from 1 to 1000, not '2'."),
            ({"HOOK_TIMEOUT": None}, "HOOK_TIMEOUT must be a whole number from 1 to 604800, not N"),
            ({"OVERDUE_AFTER": 6.5}, "OVERDUE_AFTER must be a whole number from 1 to 604800, not"),
            ({"SWEEP_EVERY": True}, "SWEEP_EVERY must be a whole number from 1 to 604800, not Tr"),
            ({"STOP_AFTER": 10**12}, "STOP_AFTER must be a whole number from 1 to 604800, not 10"),
            ({"VANISHED_AFTER": -1}, "VANISHED_AFTER must be a whole number from 0 to 3600, not -"),
            ({"PREVIEW_HOURS": "72"}, "PREVIEW_HOURS must be a whole number from 1 to 87600, not "),
            ({"RETRY_DELAYS": 60}, "RETRY_DELAYS must be a list of whole numbers from 0 to 604800"),
            ({"RETRY_DELAYS": [60, "9"]}, "not [60, '9']."),
            ({"QUEUE_LISTEN": "off"}, "QUEUE_LISTEN must be True or False, not 'off'."),
            ({"FAILURE_EMAILS": "ops@example.org"}, "FAILURE_EMAILS must be a list of addresses"),
            ({"FAILURE_EMAILS": ["ops"]}, "FAILURE_EMAILS must be a list of addresses of mail"),
            ({"SITE_URL": "news.example.org"}, "SITE_URL must be an address such as 'https://news"),
            ({"SITE_URL": "https://news.example.org/"}, "without a slash at the end, not 'https:"),
            ({"LOCALE_OF": print}, "LOCALE_OF must be None or the dotted name of a function, not"),
            ({"SLOW_LANE": ""}, "SLOW_LANE must be the name of a lane, not ''."),
            (
                {"Q_CLUSTER": {"ALT_CLUSTERS": {"slow": {"queue_limit": None}}}},
                "Q_CLUSTER['ALT_CLUSTERS']['slow']['queue_limit'] must be a whole number above 0,"
                " not None.",
            ),
            ({"Q_CLUSTER": ["orm"]}, "Q_CLUSTER must be a dictionary, and its ALT_CLUSTERS"),
            ({"Q_CLUSTER": {"ALT_CLUSTERS": {"images": 7}}}, "a dictionary of dictionaries."),
            ({"MAIL_LANE": "slow"}, "PUBLISH_LANE, SLOW_LANE, MAIL_LANE must be different names."),
            (
                {"Q_CLUSTER": {"ALT_CLUSTERS": {"publish": {"workers": 1}}}},
                "Q_CLUSTER['ALT_CLUSTERS'] has 'publish', the lane PUBLISH_LANE: its settings",
            ),
            (
                {"Q_CLUSTER": {"cluster_name": "mysite"}},
                "Q_CLUSTER['cluster_name'] is 'mysite', which no lane is called: leave it out, or"
                " set PUBLISH_LANE to it.",
            ),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_are_refused_in_words_where_they_make_no_sense(
        self, settings: Any, changed: dict[str, Any], words: str
    ) -> None:
        for name, value in changed.items():
            setattr(settings, name, value)

        with pytest.raises(ImproperlyConfigured, match=re.escape(words)):
            conf.queue_settings()

    def test_may_name_any_lane_for_the_sites_tasks(self, settings: Any) -> None:
        settings.Q_CLUSTER = {"cluster_name": "images", "ALT_CLUSTERS": {"images": {}}}

        assert conf.queue_settings()["cluster_name"] == "images"

    def test_are_the_same_when_completed_twice(self, settings: Any) -> None:
        settings.Q_CLUSTER = conf.queue_settings()

        assert conf.queue_settings() == settings.Q_CLUSTER


class TestASetting:
    def test_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(AttributeError, match="NO_SUCH"):
            _ = conf.NO_SUCH

    def test_of_every_kind_is_judged(self) -> None:
        assert {*conf.LIMITS, *conf.OTHERS} == {*conf.DEFAULTS}
