"""What the system can do for processes that belong together."""

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
    Have this process get a signal when its parent ends, however that ends.

    Elsewhere than on Linux a thread looks for it, twice a second, and ends the process.

    :param parent: the parent's process id, as it was when this process began.
    """
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, number)
    else:
        threading.Thread(target=_watch, args=[parent], daemon=True).start()
    # It may have ended before it could be asked for.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def offer_to_the_oom_killer() -> None:
    """Have the kernel, when memory runs out, end this process before those it works for."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        return  # not Linux, or not allowed: the kernel chooses by size
