"""A hook in a child process, and every way in which that can end."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from django.db import connection

from content.models import Story
from scheduling.worker import child_process
from scheduling.worker.child_process import ChildDied, ChildHung, FailedInChild
from tests.factories import StoryFactory
from tests.process.worker import wait_until


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a file that a child can write to."""
    path = tmp_path / "notes"
    path.touch()
    return path


def forget(error: BaseException) -> None:
    """Take note of nothing."""


def note(path: Path) -> Callable[[BaseException], None]:
    """Return what writes an error down."""

    def write(error: BaseException) -> None:
        path.write_text(f"{type(error).__name__}: {error}")

    return write


def hang_for_ever() -> NoReturn:
    while True:
        signal.pause()


def ignore_everything() -> NoReturn:
    while True:
        try:
            hang_for_ever()
        except BaseException:  # noqa: BLE001 (the fault itself)
            continue


class TestWorkThatGoesWell:
    def test_is_done_in_another_process(self, notes: Path) -> None:
        def work() -> None:
            notes.write_text(str(os.getpid()))

        child_process.run(work, seconds=10, failed=forget)

        assert int(notes.read_text()) not in (0, os.getpid())

    @pytest.mark.django_db(transaction=True)
    def test_writes_through_a_connection_of_its_own(self) -> None:
        def work() -> None:
            connection.ensure_connection()
            StoryFactory(title=f"backend {connection.connection.info.backend_pid}")

        connection.ensure_connection()
        ours = connection.connection.info.backend_pid

        child_process.run(work, seconds=10, failed=forget)

        [story] = Story.objects.all()
        assert story.title.startswith("backend ")
        assert story.title != f"backend {ours}"
        # The connection of this process still works.
        assert connection.connection.info.backend_pid == ours

    def test_may_report_more_than_a_pipe_holds(self) -> None:
        def work() -> None:
            raise ValueError("가" * 200_000)

        with pytest.raises(FailedInChild, match="가" * 1000):
            child_process.run(work, seconds=10, failed=forget)


class TestWorkThatRaises:
    def test_is_seen_in_the_child_and_raised_with_its_traceback(self, notes: Path) -> None:
        def work() -> None:
            raise ConnectionError("검색 서버가 응답하지 않음")

        with pytest.raises(FailedInChild) as raised:
            child_process.run(work, seconds=10, failed=note(notes))

        assert notes.read_text() == "ConnectionError: 검색 서버가 응답하지 않음"
        assert "in work" in str(raised.value)
        assert "ConnectionError: 검색 서버가 응답하지 않음" in str(raised.value)

    @pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()])
    def test_what_means_the_end_of_a_process_ends_only_the_child(
        self, error: BaseException
    ) -> None:
        def work() -> None:
            raise error

        with pytest.raises(ChildDied, match="exit code 1"):
            child_process.run(work, seconds=10, failed=forget)


@pytest.mark.slow
class TestWorkThatTakesTooLong:
    def test_is_raised_with_where_it_was(self, notes: Path) -> None:
        start = time.monotonic()

        with pytest.raises(FailedInChild, match="in hang_for_ever"):
            child_process.run(hang_for_ever, seconds=1, failed=note(notes))

        assert notes.read_text() == "TimeoutException: It took longer than 1 s."
        assert 1 <= time.monotonic() - start < 3

    def test_and_does_not_listen_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(child_process, "HOOK_GRACE_SECONDS", 0.5)

        with pytest.raises(ChildHung, match="longer than 1 s"):
            child_process.run(ignore_everything, seconds=1, failed=forget)

    def test_and_never_lets_python_raise_anything_is_killed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(child_process, "HOOK_GRACE_SECONDS", 0.5)

        def work() -> None:
            # C code that looks at no signal until it is done.
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)

        with pytest.raises(ChildHung):
            child_process.run(work, seconds=1, failed=forget)

    def test_is_killed_with_what_it_has_started(
        self, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(child_process, "HOOK_GRACE_SECONDS", 0.5)

        def work() -> None:
            program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
            notes.write_text(str(program.pid))
            ignore_everything()

        with pytest.raises(ChildHung):
            child_process.run(work, seconds=1, failed=forget)

        started = int(notes.read_text())
        wait_until(
            lambda: (
                not psutil.pid_exists(started)
                or psutil.Process(started).status() == psutil.STATUS_ZOMBIE
            ),
            seconds=5,
            what="gone",
        )

    def test_does_not_keep_the_caller_when_it_closes_its_pipe(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(child_process, "HOOK_GRACE_SECONDS", 0.5)

        def work() -> None:
            os.closerange(3, 64)
            ignore_everything()

        with pytest.raises(ChildHung):
            child_process.run(work, seconds=1, failed=forget)


class TestWorkThatEndsItsProcess:
    @pytest.mark.parametrize(
        ("work", "message"),
        [
            (lambda: os._exit(3), "ended itself with exit code 3"),
            (lambda: os._exit(0), "ended itself with exit code 0"),
            (lambda: os.kill(os.getpid(), signal.SIGKILL), r"was killed \(SIGKILL\)"),
            (lambda: os.kill(os.getpid(), signal.SIGSEGV), "was ended by SIGSEGV"),
        ],
        ids=["exit 3", "exit 0", "SIGKILL", "SIGSEGV"],
    )
    def test_says_how(self, work: Callable[[], None], message: str) -> None:
        with pytest.raises(ChildDied, match=message):
            child_process.run(work, seconds=10, failed=forget)

    def test_leaves_no_zombie(self) -> None:
        with pytest.raises(ChildDied):
            child_process.run(lambda: os._exit(3), seconds=10, failed=forget)

        assert not psutil.Process().children()


@pytest.mark.slow
class TestTheChild:
    def test_dies_with_its_parent(self, notes: Path) -> None:
        program = (
            "import os, signal, sys, time\n"
            "import django; django.setup()\n"
            "from scheduling.worker import child_process\n"
            "def work():\n"
            "    open(sys.argv[1], 'w').write(str(os.getpid()))\n"
            "    time.sleep(300)\n"
            "child_process.run(work, seconds=300, failed=print)\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", program, str(notes)],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        )
        wait_until(notes.read_text, seconds=20, what="the child runs")
        child = psutil.Process(int(notes.read_text()))

        parent.kill()
        parent.wait()

        wait_until(
            lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
            seconds=5,
            what="the child is gone",
        )

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
    def test_is_what_the_kernel_ends_first_when_memory_runs_out(self, notes: Path) -> None:
        def work() -> None:
            notes.write_text(Path("/proc/self/oom_score_adj").read_text())

        child_process.run(work, seconds=10, failed=forget)

        assert int(notes.read_text()) == 1000
        assert int(Path("/proc/self/oom_score_adj").read_text()) < 1000
