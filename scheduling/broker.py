"""The broker by the name that sites have in their settings."""

from scheduling.queue.broker import TimedBroker

__all__ = ["TimedBroker"]
