"""
The broker that a site names in its settings: `scheduling.broker.TimedBroker`.

Here the queue, which knows no job, is given the engine's tasks and its tables.
"""

from scheduling.models import task_names
from scheduling.queue import broker
from scheduling.queue.sql_files import read_statements


class TimedBroker(broker.TimedBroker):
    """The queue's broker, with the engine's tasks and tables."""

    tasks = broker.TaskNames(
        run_job=task_names.RUN_JOB,
        stand_by=task_names.STAND_BY,
        catch_up=task_names.CATCH_UP,
        sweep=task_names.SWEEP,
        give_up=task_names.GIVE_UP,
        bury=task_names.BURY,
        beat=task_names.BEAT,
    )
    statements = broker.Statements(
        is_paused="EXISTS (SELECT FROM scheduling_pause)",
        are_lost=read_statements(__name__)["are_lost"],
    )
