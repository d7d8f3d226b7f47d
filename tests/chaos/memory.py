"""A limit on a worker's memory, so that a process which uses it up does not take the machine's."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import psutil

MORE = 300 * 2**20
V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class Bound:
    """
    A control group for some processes, and what they start from now on.

    Where the system does not let us make one, a thread plays the kernel: it kills what grows
    beyond the bound.
    """

    def __init__(self, processes: Callable[[], Sequence[psutil.Process]]) -> None:
        self.processes = processes
        self.done = threading.Event()
        self.thread: threading.Thread | None = None
        self.group: Path | None = None
        self.how = "a stand-in for the kernel"
        for parent, mark, limit in (
            (V1, "memory.limit_in_bytes", "memory.limit_in_bytes"),
            (V2, "cgroup.controllers", "memory.max"),
        ):
            group = parent / f"armo-chaos-{os.getpid()}"
            if not (parent / mark).exists():
                continue
            try:
                group.mkdir()
                self.group = group
                for process in processes():
                    (group / "cgroup.procs").write_text(str(process.pid))
                # Version 1 does not count what they have already, version 2 neither.
                (group / limit).write_text(str(MORE))
            except OSError:
                self._remove_group()
                continue
            self.how = "a control group"
            return
        self.thread = threading.Thread(target=self._play_the_kernel, daemon=True)
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.lift()

    def lift(self) -> None:
        """Take the bound away."""
        self.done.set()
        if self.thread:
            self.thread.join()
        self._remove_group()

    def _remove_group(self) -> None:
        if self.group is None:
            return
        # A group with processes cannot be removed: they go back to where groups begin.
        with contextlib.suppress(OSError):
            for pid in (self.group / "cgroup.procs").read_text().split():
                (self.group.parent / "cgroup.procs").write_text(pid)
        # Those that have just ended may count for a moment longer.
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                self.group.rmdir()
            except OSError:
                time.sleep(0.05)
            else:
                break
        self.group = None

    def _play_the_kernel(self) -> None:
        while not self.done.wait(0.05):
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    if process.memory_info().rss > MORE:
                        process.kill()
