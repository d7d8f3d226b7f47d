"""
The names of the engine's tasks, as in queue rows and django-q2's history.

They never change: a row may be older or newer than the worker that claims it.
"""

RUN_JOB = "scheduling.tasks.run_job"
PREWARM = "scheduling.tasks.stand_by"
CATCH_UP = "scheduling.tasks.catch_up"
SWEEP = "scheduling.tasks.sweep"
MAIL_FAILURES = "scheduling.tasks.tell_failures"
CHARGE_ATTEMPT = "scheduling.tasks.give_up"
MOVE_TO_FAILED_TASKS = "scheduling.tasks.bury"
BEAT = "scheduling.tasks.beat"

# These kinds are older than the rule that each has its own task.
RUN_BY_RUN_JOB = ("publish", "unpublish")


def task_of(kind: str) -> str:
    """
    Return the task that the queue rows of a kind name.

    Each further kind has its own, which `scheduling.tasks.__getattr__` provides: a worker of an
    older version has no such function, and so cannot mistake the job for a publish.
    """
    return RUN_JOB if kind in RUN_BY_RUN_JOB else f"scheduling.tasks.run_{kind}"
