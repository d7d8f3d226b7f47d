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
