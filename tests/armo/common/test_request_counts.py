"""The files in which web processes count requests."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from armo.common import request_counts

PROGRAM = """
import os, sys
from armo.common import request_counts
request_counts.make_folder()
from prometheus_client import Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
histogram = Histogram("h", "of a test", ["route"], buckets=[1], registry=None)

def run_process(seconds):
    pid = os.fork()
    if pid == 0:
        histogram.labels("/a/").observe(seconds)
        os._exit(0)
    os.waitpid(pid, 0)
    return pid

def total():
    [metric] = MultiProcessCollector(None).collect()
    return {it.name: it.value for it in metric.samples if it.labels.get("le", "+Inf") == "+Inf"}

folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
print(folder)
for seconds in (0.5, 2, 4):
    pid = run_process(seconds)
    before = total()
    request_counts.keep_counts_of(pid)
    assert total() == before, (before, total())
request_counts.keep_counts_of(pid)
print(sorted(os.listdir(folder)))
print(total())
if len(sys.argv) > 1 and os.fork() == 0:
    sys.exit()  # as gunicorn's processes end
"""

OF_DJANGO = """
import django
django.setup()
from armo import metrics
metrics.durations.labels("GET", "/a/", "200").observe(1)
"""


def run(*arguments: str, **env: str) -> list[str]:
    """Run the program; return its lines."""
    kept = {name: value for name, value in os.environ.items() if "PROM" not in name}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=settings.BASE_DIR,
        env={**kept, **env},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.splitlines()


@pytest.mark.slow
class TestProcessesThatEnd:
    def test_leave_one_file_for_all_of_them(self) -> None:
        folder, files, total = run()

        assert files == "['histogram_ended.db']"
        assert total == "{'h_sum': 6.5, 'h_bucket': 3.0, 'h_count': 3.0}"
        assert not Path(folder).exists()

    @pytest.mark.parametrize("content", [b"", b"\x40\0\0"], ids=["empty", "cut"])
    def test_are_forgotten_if_their_file_is_not_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        monkeypatch.setenv(request_counts.FOLDER, str(tmp_path))
        (tmp_path / "histogram_7.db").write_bytes(content)

        request_counts.keep_counts_of(7)

        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
class TestTheFolder:
    def test_may_be_somebodys_own(self, tmp_path: Path) -> None:
        folder, *_ = run(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))

        assert folder == str(tmp_path)
        assert tmp_path.exists()

    def test_is_made_where_it_is_missing(self, tmp_path: Path) -> None:
        named = tmp_path / "new" / "counts"

        folder, files, _ = run(PROMETHEUS_MULTIPROC_DIR=str(named))

        assert (folder, files) == (str(named), "['histogram_ended.db']")

    def test_is_the_servers_own_where_the_variable_is_empty(self) -> None:
        folder, *_ = run(PROMETHEUS_MULTIPROC_DIR="")

        assert Path(folder).name.startswith("armo-request-counts-")

    def test_is_removed_by_the_next_server_if_its_own_was_killed(self, tmp_path: Path) -> None:
        left, used, new = (tmp_path / f"armo-request-counts-{name}" for name in "abc")
        for folder in (left, used, new):
            folder.mkdir()
            (folder / "histogram_7.db").touch()
        for folder in (left, used):
            os.utime(folder, (1_000_000_000, 1_000_000_000))
        descriptor = os.open(used, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

        run(TMPDIR=str(tmp_path))
        os.close(descriptor)

        assert sorted(tmp_path.iterdir()) == [used, new]

    def test_is_kept_while_a_process_of_its_server_lives(self, tmp_path: Path) -> None:
        program = """
import os, sys, time
from armo.common import request_counts
request_counts.make_folder()
print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
if os.fork():
    os._exit(0)  # as one that is killed: nothing is removed
sys.stdin.read()
"""
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        environment.pop(request_counts.FOLDER, None)
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as server:
            assert server.stdout
            assert server.stdin
            folder = Path(server.stdout.readline().strip())
            server.wait()
            os.utime(folder, (1_000_000_000, 1_000_000_000))

            run(TMPDIR=str(tmp_path))

            assert folder.exists()
            server.stdin.close()

    def test_is_none_without_gunicorn_where_the_variable_is_empty(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", OF_DJANGO],
            cwd=tmp_path,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "armo.settings",
                "PYTHONPATH": str(settings.BASE_DIR),
                "PROMETHEUS_MULTIPROC_DIR": "",
            },
            capture_output=True,
            encoding="utf-8",
            check=True,
        )

        assert list(tmp_path.iterdir()) == [], done.stderr

    def test_is_not_that_of_the_server_before(self, tmp_path: Path) -> None:
        folder, *_ = run(PROMETHEUS_MULTIPROC_DIR=str(tmp_path), ARMO_REQUEST_COUNTS_MADE_BY="1")

        assert folder != str(tmp_path)
