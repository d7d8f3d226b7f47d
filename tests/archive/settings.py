"""Armo's own settings, with the third kind of job."""

from armo.settings import *  # noqa: F403 (all of them)
from armo.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.archive.apps.ArchiveConfig"]
