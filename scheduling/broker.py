"""
The broker that a site's settings name: `scheduling.broker.TimedBroker`.

It completes the queue's broker, which knows no jobs, by the engine's tasks and tables.
"""

from scheduling.models import task_names
from scheduling.queue import broker
from scheduling.queue.sql_files import read_statements


class TimedBroker(broker.TimedBroker):
    """The queue's broker, with the engine's tasks and tables."""

    tasks = broker.TaskNames(
        run_job=task_names.RUN_JOB,
        prewarm=task_names.PREWARM,
        catch_up=task_names.CATCH_UP,
        sweep=task_names.SWEEP,
        charge_attempt=task_names.CHARGE_ATTEMPT,
        move_to_failed_tasks=task_names.MOVE_TO_FAILED_TASKS,
        beat=task_names.BEAT,
    )
    statements = broker.Statements(
        is_paused="EXISTS (SELECT FROM scheduling_pause)",
        are_lost=read_statements(__name__)["are_lost"],
    )
