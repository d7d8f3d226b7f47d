"""Armo's own settings, with the traps as one more type of content."""

from armo.settings import *  # noqa: F403 (all of them)
from armo.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.traps"]
