"""Each fault once, small and soon over; `tests.chaos` plays them at length and at every moment."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import QuerySet
from django_q.models import OrmQ
from django_q.tasks import async_task

from armo.common import postgres
from content.models import Story
from scheduling import operations
from scheduling.models import Job, Schedulable, State
from scheduling.models.clock import database_now
from tests.chaos import checker
from tests.chaos.environment import Cluster, Load
from tests.chaos.memory import Bound
from tests.chaos.traps.models import Mode, Trap
from tests.process.conftest import StartCluster
from tests.process.server import at_rest, execute, wait_until_time
from tests.process.worker import wait_until

# Recovery takes far less: the chaos suite measures it. Here it must only not wait for `retry`,
# of RETRY_DELAYS or of the next sweep, on a machine however busy.
RECOVERED = 8.0

ROLES = ("sentinel", "pusher", "monitor", "worker")


def put_in(*, stories: int, traps: Sequence[Mode] = (), seconds: float = 0.5) -> Load:
    """Schedule items for one instant, so many seconds from now."""
    made = Story.objects.bulk_create(
        Story(title="제목", slug=f"story-{n}", body="본문") for n in range(stories)
    )
    set_traps = Trap.objects.bulk_create(Trap(title="trap", mode=mode) for mode in traps)
    at = database_now() + timedelta(seconds=seconds)
    operations.schedule_many(items=[*set_traps, *made], run_at=at, by=None)
    return Load(
        stories=[story.pk for story in made],
        traps={trap.pk: Mode(trap.mode) for trap in set_traps},
        first=at.timestamp(),
        burst=at.timestamp(),
    )


def jobs_of(model: type[Schedulable]) -> QuerySet[Job]:
    return Job.objects.filter(content_type=ContentType.objects.get_for_model(model))


def set_for_all_sessions(statement: str) -> None:
    """Change a parameter of the server, also of the sessions that there are."""
    execute(statement)
    execute("SELECT pg_reload_conf()")


def live() -> int:
    return Story.objects.published().count() + Trap.objects.published().count()


def wait_until_all_is_live(load: Load, *, seconds: float) -> None:
    wanted = len(load.stories) + list(load.traps.values()).count(Mode.WORK)
    wait_until(lambda: live() == wanted, seconds=seconds, what="all live")


def assert_all_came_to_its_end(load: Load, *, max_attempts: int = 4) -> None:
    """Each job ended as it should, once, and nothing is left to do."""
    wait_until(at_rest, seconds=25, what="no open job, no message")
    findings = checker.Findings()
    checker.check(load, findings, max_attempts=max_attempts)
    assert not findings.lines()


def assert_all_is_well(load: Load, cluster: Cluster, *, max_attempts: int = 4) -> None:
    """All items are done, every process of the worker is there, and it ends when asked to."""
    assert_all_came_to_its_end(load, max_attempts=max_attempts)
    wait_until(cluster.is_whole, seconds=10, what="a whole worker")
    assert not cluster.end()


class TestAServerThatAcceptsNoWrites:
    def test_for_a_while_fails_no_job_and_costs_no_attempt(
        self, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster()
        load = put_in(stories=300, traps=[Mode.WORK] * 2, seconds=1.5)
        read_only = "ALTER SYSTEM SET default_transaction_read_only = on"
        try:
            set_for_all_sessions(read_only)
            wait_until_time(load.burst + 1.5)
            assert live() == 0
            assert not Job.objects.filter(state=State.FAILED).exists()
        finally:
            set_for_all_sessions("ALTER SYSTEM RESET default_transaction_read_only")

        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, cluster)
        assert Job.objects.filter(attempts=1).count() == 302


class TestAKilledProcess:
    def test_of_an_idle_worker_is_made_good_at_once(self, start_cluster: StartCluster) -> None:
        cluster = start_cluster()
        for role in ROLES:
            load = put_in(stories=3, traps=[Mode.WORK])

            for lane in ("publish", "slow"):
                cluster.members(role, lane)[0].kill()

            wait_until_all_is_live(load, seconds=RECOVERED)
            wait_until(cluster.is_whole, seconds=10, what=f"whole again, without its {role}")
            assert_all_came_to_its_end(load)
            Story.objects.all().delete()
            Trap.objects.all().delete()
            Job.objects.all().delete()
        assert not cluster.end()

    @pytest.mark.parametrize("role", ROLES)
    def test_of_a_busy_worker_loses_nothing_and_does_nothing_twice(
        self, start_cluster: StartCluster, role: str
    ) -> None:
        cluster = start_cluster()
        load = put_in(stories=800, traps=[Mode.WORK] * 4, seconds=1)
        victims = [cluster.members(role, lane)[0] for lane in ("publish", "slow")]

        wait_until(lambda: database_now().timestamp() > load.burst, seconds=5, what="the moment")
        for victim in victims:
            victim.kill()

        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, cluster)

    def test_that_supervises_leaves_no_other_and_its_work_to_the_next(
        self, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster()
        load = put_in(stories=800, traps=[Mode.WORK] * 4, seconds=1)
        wait_until(lambda: database_now().timestamp() > load.burst, seconds=5, what="the moment")

        cluster.process.kill()

        cluster.process.wait()
        assert not cluster.items()
        other = start_cluster()
        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, other)


class TestSigterm:
    @pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "group"])
    def test_twice_while_a_hook_is_running_finishes_it_and_ends_with_0(
        self, start_cluster: StartCluster, send: Callable[[int, int], None]
    ) -> None:
        cluster = start_cluster()
        put_in(stories=0, traps=[Mode.WORK], seconds=0.2)
        workers = cluster.members("worker", "slow")
        wait_until(
            lambda: any(worker.children() for worker in workers), seconds=5, what="a hook's process"
        )

        for _ in range(2):
            send(cluster.process.pid, signal.SIGTERM)

        assert cluster.process.wait(20) == 0
        assert not cluster.items()
        [job] = jobs_of(Trap)
        assert (job.state, job.attempts) == (State.SUCCEEDED, 1)


class TestAHook:
    WORST = (Mode.SWALLOW, Mode.HANG, Mode.RAISE, Mode.EXIT, Mode.KILL)

    def test_at_its_worst_is_a_failed_job_with_its_reason(
        self, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster(HOOK_TIMEOUT="1", RETRY_DELAYS="")

        load = put_in(stories=20, traps=[*self.WORST, Mode.WORK])

        wait_until_all_is_live(load, seconds=15)
        # None of them waits for a hook.
        assert max(job.lateness_ms or 0 for job in jobs_of(Story)) < 2000
        assert_all_is_well(load, cluster, max_attempts=1)

    def test_that_eats_memory_is_all_that_the_kernel_ends(
        self, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster(RETRY_DELAYS="")
        before = {process.pid for process in cluster.session()}

        with Bound(cluster.session):
            load = put_in(stories=20, traps=[Mode.EAT, Mode.WORK])

            wait_until_all_is_live(load, seconds=RECOVERED)
            assert_all_came_to_its_end(load, max_attempts=1)
            assert {process.pid for process in cluster.session()} == before
            assert not cluster.end()


class TestAMessage:
    def test_that_cannot_be_decoded_is_rebuilt_from_its_job_or_moved_to_failed_tasks(
        self, start_cluster: StartCluster
    ) -> None:
        load = put_in(stories=3, traps=[Mode.WORK], seconds=2.5)
        OrmQ.objects.update(payload="x")
        # Somebody else's: nothing says what it was.
        other = OrmQ.objects.create(key="publish", payload="x", lock=database_now())
        load.failed_tasks[f"message {other.pk}"] = "cannot be decoded"

        cluster = start_cluster()

        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, cluster)

    def test_signed_with_another_key_too(self, start_cluster: StartCluster) -> None:
        load = put_in(stories=3, traps=[Mode.WORK], seconds=2.5)
        async_task("math.sqrt", 4, cluster="slow")
        load.failed_tasks["message "] = "cannot be decoded"

        cluster = start_cluster(SECRET_KEY="another")

        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, cluster)


class TestATaskOfSomebodyElse:
    NEVER_ENDED = "never came to an end"
    WORST: ClassVar = {
        "unpicklable": "cannot be stored",
        "swallow": NEVER_ENDED,
        "die": NEVER_ENDED,
        "leave": NEVER_ENDED,
    }

    def test_at_its_worst_ends_as_a_failed_task_and_delays_nobody_else(
        self, start_cluster: StartCluster
    ) -> None:
        cluster = start_cluster()
        for what in self.WORST:
            # The one that hangs is alone in its lane, or the others would take it with them.
            options = {"cluster": "slow" if what == "swallow" else "publish", "timeout": 1}
            async_task(f"tests.chaos.tasks.{what}", task_name=what, q_options=options)
        # It is well, and in work beside them.
        async_task("tests.chaos.tasks.work", task_name="work", q_options={"cluster": "publish"})
        # Few of the times that they may be handed out are left.
        execute("UPDATE django_q_ormq SET armo_deliveries = armo_deliveries + 3")

        load = put_in(stories=20, traps=[Mode.WORK])

        load.failed_tasks.update(self.WORST)
        load.done_tasks.append("work")
        wait_until_all_is_live(load, seconds=RECOVERED)
        assert_all_is_well(load, cluster)


def end_connections() -> None:
    """End every connection of the workers."""
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'armo-worker'"
    )


def crash(*, seconds_away: float = 0) -> None:
    """Have the server of this test run end at once, and come back."""
    data_dir = settings.DATABASES["default"]["DATA_DIR"]
    postgres.stop(data_dir, mode="immediate")
    connection.close()
    wait_until_time(time.time() + seconds_away)
    postgres.start(data_dir)


class TestTheDatabase:
    @pytest.mark.parametrize(
        ("fault", "is_busy"),
        [
            pytest.param(end_connections, True, id="connections ended, busy"),
            pytest.param(end_connections, False, id="connections ended, idle"),
            pytest.param(crash, True, id="crashed, busy"),
            pytest.param(partial(crash, seconds_away=2), False, id="away, idle"),
        ],
    )
    def test_comes_back_and_publishing_goes_on_by_itself(
        self, start_cluster: StartCluster, fault: Callable[[], None], is_busy: bool
    ) -> None:
        cluster = start_cluster()
        load = put_in(stories=500, traps=[Mode.WORK] * 2, seconds=1)
        if is_busy:
            wait_until_time(load.burst)

        fault()

        wait_until_all_is_live(load, seconds=1 + RECOVERED)
        assert_all_is_well(load, cluster)


class TestPeople:
    def test_are_notified_of_a_failure_within_five_seconds_though_every_hook_hangs(
        self, start_cluster: StartCluster, tmp_path: Path
    ) -> None:
        mails = tmp_path / "mails"
        # The hooks outlast the test, and are cut off with the worker.
        start_cluster(
            HOOK_TIMEOUT="100",
            STOP_AFTER="1",
            EMAIL_URL=f"filemail:///{mails}",
            FAILURE_EMAILS="desk@example.org",
        )
        put_in(stories=1, traps=[Mode.HANG] * 4)
        Story.objects.update(body="")

        wait_until(lambda: jobs_of(Story).exclude(told_at=None), seconds=10, what="notified")

        job = jobs_of(Story).get()
        assert job.state == State.FAILED
        assert job.told_at is not None
        assert job.finished_at is not None
        assert job.told_at - job.finished_at < timedelta(seconds=5)
        [mail] = mails.iterdir()
        assert "desk@example.org" in mail.read_text()
