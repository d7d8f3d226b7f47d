"""Calls to the kernel for child processes: end with the parent, be killed first."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """
    Have the kernel send this process a signal when its parent ends, for whatever reason.

    On other systems than Linux a thread polls twice a second, and kills the process.

    :param parent: the parent's process id at the time of the fork.
    """
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=_watch, args=[parent], daemon=True).start()
    # The parent may have ended before that took effect.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def offer_to_the_oom_killer() -> None:
    """Have the kernel kill this process first when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        return  # not Linux, or not permitted: the kernel chooses by size
