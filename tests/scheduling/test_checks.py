"""What `manage.py check` says of a project that lacks something; see tests/process too."""

from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps

from scheduling import checks, conf
from scheduling.models import Schedulable


def problems() -> list[str]:
    """Return what is found, by its id."""
    return [str(problem.id).removeprefix("scheduling.") for problem in checks.check_project()]


class TestTheChecks:
    def test_find_nothing_here(self) -> None:
        assert problems() == []

    def test_find_times_without_zones(self, settings: Any) -> None:
        settings.USE_TZ = False

        assert problems() == ["E003"]

    @pytest.mark.parametrize(
        "name", [None, "django_q.brokers.orm.ORM", "gone.Broker", "scheduling.errors.text"]
    )
    def test_find_another_broker(self, settings: Any, name: str | None) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "broker_class": name}

        assert problems() == ["E004"]

    @pytest.mark.parametrize("alias", [None, "other"])
    def test_find_a_queue_that_does_not_commit_with_the_jobs(
        self, settings: Any, alias: str | None
    ) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "orm": alias}

        assert problems() == ["E005"]

    def test_find_a_lane_that_hands_out_what_still_runs(self, settings: Any) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "timeout": 60, "retry": 180}

        [problem] = checks.check_project()

        assert problem.id == "scheduling.E007"
        assert "Lane publish hands a task out again after 180 s" in problem.msg

    def test_warn_of_a_lane_of_the_site_without_a_time_out(self, settings: Any) -> None:
        others = {**settings.Q_CLUSTER["ALT_CLUSTERS"], "images": {"timeout": None}}
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": others}

        assert problems() == ["W006"]

    def test_warn_of_a_lane_of_the_sites_own(self, settings: Any) -> None:
        others = {**settings.Q_CLUSTER["ALT_CLUSTERS"], "images": {"timeout": 3600, "retry": 3700}}
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "ALT_CLUSTERS": others}

        [problem] = checks.check_project()

        assert (problem.id, problem.is_serious()) == ("scheduling.W007", False)

    def test_find_a_lane_of_the_engine_without_a_time_out(self, settings: Any) -> None:
        settings.Q_CLUSTER = {**settings.Q_CLUSTER, "timeout": None}

        assert problems() == ["E006"]

    def test_find_nothing_in_a_long_lane_that_is_completed(self, settings: Any) -> None:
        others = {**settings.Q_CLUSTER["ALT_CLUSTERS"], "reports": {"timeout": 3600}}
        cluster = {"broker_class": checks.BROKER, "orm": "default", "ALT_CLUSTERS": others}
        settings.Q_CLUSTER = cluster
        settings.Q_CLUSTER = conf.queue_settings()

        assert problems() == []


class TestTheCheckOfAModel:
    @isolate_apps("content")
    def test_finds_a_key_that_no_job_can_hold(self) -> None:
        class Keyed(Schedulable):
            code = models.CharField(primary_key=True, max_length=9)

            class Meta(Schedulable.Meta):
                app_label = "content"

        [problem] = checks.check_model(Keyed)

        assert problem.id == "scheduling.E008"

    @isolate_apps("content")
    def test_takes_the_key_of_a_parent(self) -> None:
        class Parent(Schedulable):
            class Meta(Schedulable.Meta):
                app_label = "content"

        class Child(Parent):
            class Meta(Schedulable.Meta):
                app_label = "content"

        assert list(checks.check_model(Child)) == []

    @isolate_apps("content")
    def test_finds_a_meta_that_leaves_the_rules_out(self) -> None:
        class Bare(Schedulable):
            class Meta:
                app_label = "content"

        [problem] = checks.check_model(Bare)

        assert problem.id == "scheduling.E009"
