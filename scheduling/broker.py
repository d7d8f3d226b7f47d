"""
The broker that a site's settings name: `scheduling.broker.TimedBroker`.

It completes the queue's broker, which knows no jobs, by the engine's tasks and tables.
"""

from typing import ClassVar

from scheduling.models import task_names
from scheduling.queue import broker
from scheduling.queue.sql_files import read_statements

SQL = read_statements(__name__)


class TimedBroker(broker.TimedBroker):
    """The queue's broker, with the engine's tasks and tables."""

    tasks: ClassVar[broker.TaskNames] = task_names
    statements = broker.Statements(
        is_paused="EXISTS (SELECT FROM scheduling_pause)",
        are_lost=SQL["are_lost"],
        needed_at=SQL["needed_at"],
    )
