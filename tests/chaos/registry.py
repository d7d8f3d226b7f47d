"""Which faults there are: every module that has some."""

from types import ModuleType

from tests.chaos import faults, network, server_faults, vanished_host
from tests.chaos.fault import Fault

MODULES: tuple[ModuleType, ...] = (faults, server_faults, network, vanished_host)


def all_faults() -> list[Fault]:
    """Return a new one of each, in the order of the table."""
    return [fault for module in MODULES for fault in module.all_faults()]
