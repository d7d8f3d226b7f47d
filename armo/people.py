"""What `armo.accounts` was called before; for scripts that import its time zones from here."""

from armo.accounts import local_time, zones

__all__ = ["local_time", "zones"]
