"""
A fault: when it strikes, what it does, what is expected afterwards, and how soon.

To add one, write a module with a subclass of `Fault` and a function `all_faults()` that returns a
new one of each, and name the module in `tests.chaos.registry`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import psutil

from tests.chaos.environment import TRAPS, Cluster, Load, Stage
from tests.chaos.traps.models import Mode


@dataclass
class Scene:
    """One round, as a fault sees it."""

    stage: Stage
    chance: Random
    load: Load

    @property
    def cluster(self) -> Cluster:
        """Return the worker to strike."""
        return self.stage.cluster

    def pick(self, processes: Sequence[psutil.Process]) -> psutil.Process:
        """Return one of them."""
        return self.chance.choice(list(processes))


class Fault:
    """No fault: the baseline for the others."""

    name = "none"
    # When it may strike: before anything is due, while single items are, or during the burst.
    moments: ClassVar[Sequence[str]] = ("idle", "between", "busy")
    env: ClassVar[dict[str, str]] = {}
    traps: ClassVar[Sequence[Mode]] = ()
    max_attempts = 4
    burst: int | None = None
    # How long after it all may take to come to rest. A hook that is cut off twice waits for its
    # second retry, up to 66 s, and is not stuck.
    patience_seconds = 80.0
    # The worker it needs is not to be one that stayed from the round before.
    needs_new_worker = False
    # The worker that has met it is not to stay.
    spoils_worker = False
    # What must be live how soon after the fault; None for what depends on a time-out.
    target_ms: int | None = 2000
    # It takes half a minute or more: it comes every second time only.
    is_long = False
    # Whether its recovery is measured on items with hooks too; not where hooks are the fault.
    counts_traps = True

    @classmethod
    def cannot_run(cls) -> str:
        """Return why it cannot be tried on this machine; nothing when it can."""
        return ""

    @property
    def about(self) -> str:
        """Return what it is, in a line."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]

    def set_up(self, stage: Stage) -> None:
        """Do what takes long, before anything is scheduled."""

    def prepare(self, scene: Scene) -> None:
        """Do what must be done before the moment comes."""

    def strike(self, scene: Scene) -> float:
        """
        Do it.

        :returns: from when on all could go on again, by `time.time()`.
        """
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Clean up; return what is wrong."""
        return []


def traps_for(fault: Fault) -> list[Mode]:
    """Return the modes of a round's traps: what the fault asks for, and some that work."""
    return [*fault.traps, *[Mode.WORK] * TRAPS]
