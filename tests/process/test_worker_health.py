"""What monitors learn of a real worker that comes, hangs and goes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from django.test import Client

from tests.process.conftest import StartWorker
from tests.process.worker import Worker, wait_until

# Within this it must be reported.
SECONDS = 15


def reasons() -> list[str]:
    answer = Client().get("/health/publisher/")
    assert answer.status_code == (503 if answer.json()["reasons"] else 200)
    found: list[str] = answer.json()["reasons"]
    return found


def wait_until_well() -> None:
    wait_until(lambda: not reasons(), seconds=SECONDS, what="the publisher is well")


def wait_until_reported(part: str) -> None:
    wait_until(lambda: part in " ".join(reasons()), seconds=SECONDS, what=f"reported {part!r}")


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Have processes stand still for a while: there, connected, and doing nothing."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def titled(worker: Worker, part: str) -> list[psutil.Process]:
    return [process for process in worker.family() if part in " ".join(process.cmdline())]


class TestAPublisher:
    def test_without_a_worker_is_unwell_and_well_as_soon_as_one_is_there(
        self, start_worker: StartWorker
    ) -> None:
        assert reasons() == ["No worker is connected."]

        worker = start_worker()

        wait_until_well()
        worker.kill()
        wait_until_reported("No worker is connected.")

    @pytest.mark.parametrize("role", ["qcluster", "publish monitor"])
    def test_whose_processes_hang_is_unwell_though_all_are_connected(
        self, start_worker: StartWorker, role: str
    ) -> None:
        worker = start_worker()
        wait_until_well()
        # Of the main process the title is its command line.
        hanging = titled(worker, role)
        assert hanging

        with stopped(*hanging):
            wait_until_reported("has stopped moving")

        wait_until_well()
