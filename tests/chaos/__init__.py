"""Faults injected into real workers on a real server; see `tests.chaos.__main__`."""
