"""
Run all of Armo in one terminal, for development: `make run`.

The database, the web and the worker start in this order, and end together at Ctrl-C.
"""

import http
import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scheduling.worker.processes import end_with_parent

HOST = "127.0.0.1"
GRACE_SECONDS = 10
COLOURS = {"web": "36", "worker": "35"}


class StartError(Exception):
    """Armo cannot start; the message is one line."""


@dataclass(eq=False)
class Child:
    """A process and its name."""

    name: str
    process: "subprocess.Popen[bytes]"


@dataclass
class Runner:
    """Starts processes, waits for events, and ends all processes in the end."""

    children: list[Child] = field(default_factory=list)
    # In order: signals received, and processes that have ended.
    events: "queue.SimpleQueue[signal.Signals | Child]" = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Only queued: an exception raised in a handler could lose a process just started.
            signal.signal(number, lambda it, _frame: self.events.put(signal.Signals(it)))

    def start(self, name: str, *command: str, labelled: bool = True) -> Child:
        """Start a process; `labelled` puts its name before each of its lines."""
        process = subprocess.Popen(  # noqa: S603 (the commands named in this file)
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if labelled else None,
            stderr=subprocess.STDOUT if labelled else None,
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
            start_new_session=True,
            preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGTERM),
        )
        child = Child(name, process)
        self.children.append(child)
        threading.Thread(target=self._watch, args=[child], daemon=True).start()
        if labelled:
            threading.Thread(target=self._print, args=[child], daemon=True).start()
        return child

    def next_event(self, timeout_seconds: float | None = None) -> signal.Signals | Child | None:
        """Return the next event, or None after the timeout."""
        try:
            return self.events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def say(self, line: str) -> None:
        """Print a line at once; if nobody reads any more, as in `make run | head`, end all."""
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.events.put(signal.SIGPIPE)

    def stop(self) -> None:
        """Terminate every process; kill those left after the grace, or at a second Ctrl-C."""
        for child in self.children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.process.poll() is None for child in self.children):
            left = deadline - time.monotonic()
            # Not at a second SIGTERM: make passes on one that its whole group has received.
            if left <= 0 or self.next_event(left) == signal.SIGINT:
                break
        for child in self.children:
            try:
                os.killpg(child.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            child.process.wait()

    def _watch(self, child: Child) -> None:
        child.process.wait()
        self.events.put(child)

    def _print(self, child: Child) -> None:
        assert child.process.stdout
        label = f"{child.name:<6} | "
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            label = f"\x1b[{COLOURS.get(child.name, '0')}m{label}\x1b[0m"
        with child.process.stdout as lines:
            for line in lines:
                self.say(label + line.decode(errors="replace").rstrip("\n"))


def free_port(text: str) -> int:
    """
    Return the port as a number, once it is known to be free.

    :raises StartError:
    """
    try:
        port = int(text)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
            probe.bind((HOST, port))
    except (OSError, OverflowError, ValueError) as error:
        raise StartError(f"Port {text} cannot be used ({error}). Try: make run PORT=8001") from None
    return port


def web_answers(port: int) -> bool:
    """Return whether the web process answers requests."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/health/live/")
        # Also 400, which is what an ALLOWED_HOSTS without this address answers.
        return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_step(runner: Runner, *command: str) -> bool:
    """
    Run one command to its end; return whether to go on, which is not so after a signal.

    :raises StartError: the command failed.
    """
    step = runner.start(command[0], sys.executable, "manage.py", *command, labelled=False)
    if isinstance(runner.next_event(), signal.Signals):
        return False
    if step.process.returncode:
        raise StartError(f"manage.py {command[0]} failed: {how_it_ended(step)}.")
    runner.children.remove(step)
    return True


def run_all(runner: Runner, port: int, *, has_demo: bool) -> None:
    """
    Start everything and wait for a signal.

    :param has_demo: make the demo's logins and posts first.

    :raises StartError: something ended by itself.
    """
    runner.say("Preparing the database ...")
    if not run_step(runner, "migrate", "--verbosity=0"):
        return
    if not has_demo:
        runner.say("No demo: its public logins are made on the embedded PostgreSQL alone.")
    elif not run_step(runner, "demo"):
        return
    bind = f"--bind={HOST}:{port}"
    gunicorn = ("-m", "gunicorn", "armo.wsgi", bind, "--workers=1", "--log-level=warning")
    runner.start("web", sys.executable, *gunicorn)
    runner.start("worker", sys.executable, "manage.py", "qcluster")
    event = None
    while event is None:
        event = runner.next_event(0.2)
        if event is None and web_answers(port):
            site = f"http://{HOST}:{port}/"
            runner.say(f"Armo runs: {site} and {site}admin/ (Ctrl-C ends it).")
            event = runner.next_event()
    if isinstance(event, Child):
        raise StartError(f"The {event.name} ended by itself: {how_it_ended(event)}.")


def how_it_ended(child: Child) -> str:
    """Return a process's exit code, or signal, as text."""
    code = child.process.returncode
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def main() -> int:
    """Run until Ctrl-C, then return 0; return 1 when something could not start or go on."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "armo.settings")
    os.chdir(Path(__file__).resolve().parent.parent)
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from armo.common import postgres

    runner = Runner()
    try:
        data_dir: Path | None = settings.DATABASES["default"].get("DATA_DIR")
        if not settings.DEBUG:
            raise StartError("This is for development (DEBUG=on). Elsewhere, see the Procfile.")
        port = free_port(os.environ.get("PORT", "8000"))
        if data_dir:
            postgres.start(data_dir)
    except (ImproperlyConfigured, StartError, postgres.PostgresError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    code = 0
    try:
        run_all(runner, port, has_demo=data_dir is not None)
    except StartError as error:
        runner.say(str(error))
        code = 1
    finally:
        runner.say("Stopping ...")
        runner.stop()
        if data_dir:
            postgres.stop(data_dir)
    return code


if __name__ == "__main__":
    sys.exit(main())
