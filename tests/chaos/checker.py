"""Check after a round, in the database and the process list, that every guarantee held."""

from dataclasses import asdict, dataclass, field, fields

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django_q.models import Task

from content.models import Story
from scheduling.models import Job, Schedulable, State, Status
from tests.chaos.environment import Load
from tests.chaos.traps.models import Mode, Trap
from tests.process.server import execute, patiently

# What the history of a failed job must say, by what its trap did.
REASONS = {
    Mode.RAISE: "The trap has sprung.",
    Mode.HANG: "It took longer than",
    Mode.SWALLOW: "ignored the time-out",
    Mode.EXIT: "exit code 3",
    Mode.KILL: "SIGKILL",
    Mode.EAT: "SIGKILL",
}
# Those whose error is Python's, so that its traceback leads into the hook.
WITH_TRACEBACK = (Mode.RAISE, Mode.HANG)
SHOWN = 5


@dataclass
class Findings:
    """What is wrong after a round, a line each; nothing when all is well."""

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    # Failures that do not say of themselves what they should.
    unseen: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def counts(self) -> dict[str, int]:
        """Return how many there are of each."""
        return {one.name: len(getattr(self, one.name)) for one in fields(self)}

    def lines(self) -> list[str]:
        """Return what to print, the first few of each."""
        return [
            f"{name}: {line}"
            for name, lines in asdict(self).items()
            for line in [
                *lines[:SHOWN],
                *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []),
            ]
        ]


def check(load: Load, findings: Findings, *, max_attempts: int) -> None:
    """
    Note what is wrong with the rows.

    :param max_attempts: how often the worker tries a job whose error is transient.
    """
    patiently(lambda: _check(load, findings, max_attempts))


def _check(load: Load, findings: Findings, max_attempts: int) -> None:
    connection.close_if_unusable_or_obsolete()
    expected: list[tuple[type[Schedulable], dict[int, Mode]]] = [
        (Story, dict.fromkeys(load.stories, Mode.WORK)),
        (Trap, load.traps),
    ]
    for model, modes in expected:
        _check_items(model, modes, findings, max_attempts)
    for (key,) in execute("SELECT key || ' ' || id || ' ' || lock FROM django_q_ormq LIMIT 20"):
        findings.stuck.append(f"message {key}")
    for name in load.done_tasks:
        results = list(Task.objects.filter(name=name).values_list("success", "result"))
        if [success for success, _ in results] != [True]:
            findings.lost.append(f"task {name} ended as {results}")
    for name, why in load.failed_tasks.items():
        results = [
            str(task.result) for task in Task.objects.filter(name__startswith=name, success=False)
        ]
        if not results:
            findings.lost.append(f"task {name} is not among the failed")
        elif not any(why in result for result in results):
            findings.unseen.append(f"task {name} says {results}")


def _check_items(
    model: type[Schedulable], modes: dict[int, Mode], findings: Findings, max_attempts: int
) -> None:
    content_type = ContentType.objects.get_for_model(model)
    jobs: dict[int, list[Job]] = {pk: [] for pk in modes}
    for job in Job.objects.filter(content_type=content_type).prefetch_related("events"):
        jobs.setdefault(job.object_id, []).append(job)
    items = model._base_manager.in_bulk(list(modes))
    for pk, mode in modes.items():
        item = items.get(pk)
        if item is None or len(jobs[pk]) != 1:
            findings.lost.append(f"{model.__name__} {pk}: {item!r}, jobs {jobs[pk]}")
            continue
        [job] = jobs[pk]
        if job.is_open:
            findings.stuck.append(
                f"{job} is {job.state}, attempts {job.attempts}, next {job.next_attempt_at}"
            )
        elif mode == Mode.WORK:
            _check_success(item, job, findings)
        else:
            _check_failure(item, job, mode, findings, max_attempts)


def _events(job: Job) -> list[str]:
    return sorted(event.what for event in job.events.all())


def _check_success(item: Schedulable, job: Job, findings: Findings) -> None:
    events = _events(job)
    if job.state != State.SUCCEEDED or item.status != Status.PUBLISHED:
        findings.lost.append(f"{item.label} is {item.status}, {job} {job.state} by {events}")
        return
    if events.count("succeeded") > 1 or "failed" in events or "cancelled" in events:
        findings.double.append(f"{job} has {events}")
    if "succeeded" not in events:
        findings.lost.append(f"{job} has succeeded, but its history says {events}")
    # By the tables' constraints.
    assert item.published_at is not None
    assert item.publish_at is not None
    assert job.finished_at is not None
    if item.published_at < item.publish_at or job.finished_at < job.run_at:
        findings.early.append(f"{item.label} at {item.published_at} for {item.publish_at}")
    if job.attempts != events.count("attempt_failed") + 1:
        findings.unseen.append(f"{job} counts {job.attempts} attempts, its history says {events}")


def _check_failure(
    item: Schedulable, job: Job, mode: Mode, findings: Findings, max_attempts: int
) -> None:
    events = _events(job)
    if job.state != State.FAILED or item.status != Status.FAILED:
        findings.lost.append(f"{item.label} is {item.status}, {job} {job.state} by {events}")
        return
    if events.count("failed") > 1 or "succeeded" in events:
        findings.double.append(f"{job} has {events}")
    if item.publish_at != job.run_at:
        findings.unseen.append(f"{item.label} has lost its time: {item.publish_at}")
    attempts = [event for event in job.events.all() if event.what in ("attempt_failed", "failed")]
    if not job.attempts == len(attempts) == max_attempts:
        findings.unseen.append(f"{job} counts {job.attempts} attempts, its history says {events}")
    for event in attempts:
        detail = event.detail or {}
        has_trace = "before_publish" in detail.get("traceback", "") or mode not in WITH_TRACEBACK
        if REASONS[mode] not in event.reason or not detail.get("error") or not has_trace:
            findings.unseen.append(f"{job}: {event.what} says {event.reason!r} and {detail}")
    tasks = Task.objects.filter(name=f"job {job.pk}", success=False).count()
    if tasks < job.attempts:
        findings.unseen.append(f"{job}: {tasks} failed tasks for {job.attempts} attempts")


@dataclass(frozen=True)
class Live:
    """When an item was due and when readers could see it, by `time.time()`."""

    due: float
    live: float
    is_trap: bool


def went_live() -> list[Live]:
    """
    Return every item that is live.

    `published_at` is when a worker took it up; readers see it from the commit on.
    """
    columns = (
        "extract(epoch FROM publish_at)::float8,"
        " extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
    )
    rows = execute(
        f"SELECT {columns}, false FROM content_story WHERE status = 'published' UNION ALL "
        f"SELECT {columns}, true FROM traps_trap WHERE status = 'published'"
    )
    return [Live(*row) for row in rows]
