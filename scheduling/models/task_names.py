"""
The names of the engine's tasks, as they stand in queue rows and in django-q2's history.

A worker may be older or newer than whoever put a row in, so a name never changes.
"""

RUN_JOB = "scheduling.tasks.run_job"
STAND_BY = "scheduling.tasks.stand_by"
CATCH_UP = "scheduling.tasks.catch_up"
SWEEP = "scheduling.tasks.sweep"
TELL_FAILURES = "scheduling.tasks.tell_failures"
GIVE_UP = "scheduling.tasks.give_up"
BURY = "scheduling.tasks.bury"
BEAT = "scheduling.tasks.beat"

# The kinds that there were before each had a task of its own.
RUN_BY_RUN_JOB = ("publish", "unpublish")


def task_of(kind: str) -> str:
    """
    Return the function that the queue rows of a kind name.

    Each further kind has one of its own, which `scheduling.tasks` makes up: a worker of a version
    before it knows no such function, and cannot take the job for a publish.
    """
    return RUN_JOB if kind in RUN_BY_RUN_JOB else f"scheduling.tasks.run_{kind}"
