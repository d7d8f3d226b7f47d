"""`make run`: everything in one terminal, and nothing left when it ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from armo import run
from armo.common import postgres

PROJECT = Path(__file__).resolve().parents[2]
CALM = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"


@pytest.fixture
def runner() -> Iterator[run.Runner]:
    """Give a runner whose signal handlers and processes are gone after the test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    runner = run.Runner()
    yield runner
    for child in runner.children:
        child.process.kill()
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Give a fresh copy of the project, with a database of its own."""
    copy = tmp_path / "armo"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    yield copy
    postgres.stop(copy / ".postgres")


@pytest.fixture
def port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((run.HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return as soon as the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def start_armo(project: Path, port: int, *, debug: str = "on") -> "subprocess.Popen[str]":
    """Start `python -m armo.run` with nothing from this process's own settings."""
    env = {"PATH": os.defpath, "DEBUG": debug, "PORT": str(port), "SECRET_KEY": "x" * 50}
    if debug == "off":
        env["DATABASE_URL"] = "postgres://nowhere/armo"
    return subprocess.Popen(
        [sys.executable, "-m", "armo.run"],
        cwd=project,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """Return the output up to the line that has this text; pytest's time limit is the deadline."""
    output = ""
    for line in process.stdout or ():
        output += line
        if text in line:
            return output
    raise AssertionError(f"ended without {text!r}:\n{output}")


def of_project(project: Path) -> list[psutil.Process]:
    """Return the processes that run in this copy of the project, its database's too."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(project)):
                found.append(process)
        except psutil.Error:
            continue
    return found


class TestRunner:
    def test_asks_each_process_to_end(self, runner: run.Runner) -> None:
        child = runner.start("web", sys.executable, "-c", CALM)

        runner.stop()

        assert child.process.returncode == -signal.SIGTERM

    def test_ends_a_process_that_does_not_listen_after_the_grace(
        self, runner: run.Runner, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(run, "GRACE_SECONDS", 0.1)
        child = runner.start("web", sys.executable, "-c", DEAF)
        wait_until(lambda: "web    | deaf\n" in capfd.readouterr().out)

        runner.stop()

        assert child.process.returncode == -signal.SIGKILL

    def test_does_not_wait_for_the_grace_at_a_second_ctrl_c(
        self, runner: run.Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        child = runner.start("web", sys.executable, "-c", DEAF)
        wait_until(lambda: "deaf" in capfd.readouterr().out)
        os.kill(os.getpid(), signal.SIGINT)
        before = time.monotonic()

        runner.stop()

        assert child.process.returncode == -signal.SIGKILL
        assert time.monotonic() - before < run.GRACE_SECONDS / 2

    def test_leaves_no_grandchild_behind(
        self, runner: run.Runner, capfd: pytest.CaptureFixture[str]
    ) -> None:
        script = "import subprocess; print(subprocess.Popen(['/bin/sleep', '60']).pid)"
        child = runner.start("worker", sys.executable, "-c", script)
        assert runner.next_event(30) is child
        output = ""
        while "|" not in output:
            output += capfd.readouterr().out
        grandchild = int(output.split("|")[1])

        runner.stop()

        wait_until(lambda: not psutil.pid_exists(grandchild))

    def test_takes_its_processes_along_when_it_is_killed(self) -> None:
        script = "from armo import run; import sys; runner = run.Runner()\n"
        script += f"child = runner.start('web', sys.executable, '-c', {CALM!r})\n"
        script += "print(child.process.pid, flush=True); runner.next_event()"
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            child = int(process.stdout.readline())

            process.kill()

        wait_until(lambda: not psutil.pid_exists(child))


class TestMain:
    def test_refuses_to_run_elsewhere_than_in_development(self, project: Path, port: int) -> None:
        process = start_armo(project, port, debug="off")

        assert "DEBUG=on" in process.communicate()[0]
        assert process.returncode == 1

    def test_says_that_the_port_is_taken_before_it_starts_anything(self, project: Path) -> None:
        with socket.create_server((run.HOST, 0)) as other:
            port = other.getsockname()[1]

            process = start_armo(project, port)
            output = process.communicate()[0]

        assert output.startswith(f"Port {port} cannot be used")
        assert output.count("\n") == 1
        assert process.returncode == 1
        assert not (project / ".postgres").exists()

    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_runs_until_it_is_asked_to_end(
        self, project: Path, port: int, number: signal.Signals
    ) -> None:
        process = start_armo(project, port)
        output = read_until(process, "Armo runs")

        process.send_signal(number)

        rest = process.communicate()[0]
        assert process.returncode == 0, output + rest
        assert "Traceback" not in output + rest
        assert of_project(project) == []

    @pytest.mark.timeout(120)
    def test_ends_all_when_the_worker_ends(self, project: Path, port: int) -> None:
        process = start_armo(project, port)
        read_until(process, "Armo runs")
        children = psutil.Process(process.pid).children()
        [worker] = [child for child in children if "qcluster" in " ".join(child.cmdline())]

        worker.kill()

        rest = process.communicate()[0]
        assert "The worker ended by itself: SIGKILL.\nStopping" in rest
        assert process.returncode == 1
        wait_until(lambda: of_project(project) == [])

    @pytest.mark.timeout(120)
    def test_can_start_again_after_it_was_killed(self, project: Path, port: int) -> None:
        killed = start_armo(project, port)
        read_until(killed, "Armo runs")
        killed.kill()
        killed.communicate()

        process = start_armo(project, port)
        read_until(process, "Armo runs")
        process.send_signal(signal.SIGINT)

        process.communicate()
        assert process.returncode == 0
        wait_until(lambda: of_project(project) == [])
