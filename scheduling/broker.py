"""
The broker that a site names in its settings: `scheduling.broker.TimedBroker`.

Here the queue, which knows no job, is given the engine's tasks and its tables.
"""

from scheduling.models import task_names
from scheduling.queue import broker

# A job without its queue row. They are looked for only when no message is due: then few jobs are,
# those in work. The first job to come has a message no later than it; one that is due for a while
# has one that is in somebody's hands. The limits are for PostgreSQL, which takes a third of all
# open jobs for due ones and would compare them all.
ARE_LOST = """EXISTS (
            SELECT FROM (
                SELECT next_attempt_at, message_id FROM scheduling_job
                WHERE state IN ('waiting', 'retrying')
                  AND next_attempt_at > (SELECT clock_timestamp())
                ORDER BY next_attempt_at, id LIMIT 1
            ) AS first
            WHERE NOT EXISTS (SELECT FROM django_q_ormq WHERE id = first.message_id)
        ) OR EXISTS (
            SELECT FROM (
                SELECT message_id FROM scheduling_job
                WHERE state IN ('waiting', 'retrying')
                  AND next_attempt_at < (SELECT clock_timestamp() - interval '2 seconds')
                ORDER BY next_attempt_at, id LIMIT 100
            ) AS late
            WHERE NOT EXISTS (SELECT FROM django_q_ormq WHERE id = late.message_id)
        )"""


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
        is_paused="EXISTS (SELECT FROM scheduling_pause)", are_lost=ARE_LOST
    )
