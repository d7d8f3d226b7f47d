"""Check that the system is complete and publishes, for `doctor` and monitors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.core import checks as system_checks
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop
from django_q.conf import Conf
from django_q.models import OrmQ

from scheduling import __version__, conf, keepalives, pooling, schemas
from scheduling.models import (
    OPEN_STATES,
    Heartbeat,
    Job,
    Pause,
    State,
    clock,
    mirrored,
    schedulable_models,
)
from scheduling.models.sql import join_by_hash
from scheduling.models.times import duration, utc
from scheduling.operations import pause as pausing
from scheduling.operations import zone_changes
from scheduling.queries import holds, workers, zone_rules
from scheduling.queue.outages import first_line, is_outage
from scheduling.queue.payload import read_payload

# When this many seconds have passed since the last heartbeat, something hangs.
STILL_AFTER_SECONDS = holds.SILENT_AFTER_SECONDS
# A clock that is off by more is reported. Publishing goes by the database's clock alone.
CLOCK_TOLERANCE_SECONDS = 1.0
MAIL_TAKES = timedelta(minutes=5)
# A monitor gets its answer within this time, even while a migration locks a table.
ANSWER_WITHIN_SECONDS = 4.0
# Rows are counted up to this number.
MOST_COUNTED = 1000
# So many are named by their ids, and of so many it is said what holds them.
MOST_NAMED = 10
MOST_EXPLAINED = 3
# Of so many of the oldest due jobs it is said who has locked them.
MOST_LOOKED_AT = 100


class Check(NamedTuple):
    """The result of one check."""

    name: str
    ok: bool
    text: str
    # The figures in the text, for programs.
    facts: Mapping[str, object] = {}


def examine() -> Iterator[Check]:
    """Run every check in order, until the database cannot be reached, or a table is locked."""
    try:
        yield from _examine()
    except (DatabaseError, InterfaceError) as error:
        what = "It went away meanwhile" if is_outage(error) else "It refuses"
        yield _locks(error) or Check("database", False, f"{what}: {first_line(error)}")


def _locks(error: Exception) -> Check | None:
    """Say which sessions have locked the tables that a check would have waited for."""
    if not holds.is_lock_error(error):
        return None
    locked = holds.locked_tables([Job, OrmQ, Heartbeat, *schedulable_models()])
    text = " ".join(hold.text for hold in locked) or first_line(error)
    return Check("locks", False, text, {"tables": [dict(hold.facts) for hold in locked]})


def _examine() -> Iterator[Check]:
    reached = database()
    yield reached
    if not reached.ok:
        return
    migrated = migrations()
    yield migrated
    if not migrated.ok:
        return
    yield writes()
    for step in (
        _settings,
        _sessions,
        _workers,
        _vanished_hosts,
        _pause,
        _overdue,
        _locked,
        _clocks,
        _zones,
        _pairs,
        _messages,
        _failures,
    ):
        with holds.never_waiting():
            checks = list(step())
        yield from checks


# For monitors


def database() -> Check:
    """Check that the database can be reached."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            [version] = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        return Check("database", False, f"It cannot be reached: {first_line(error)}")
    # Of several that DATABASE_URL names, the one that is connected to.
    info = connection.connection.info
    facts = {"version": version, "host": info.host, "port": info.port}
    return Check("database", True, f"PostgreSQL {version} at {info.host}, port {info.port}.", facts)


def writes() -> Check:
    """Check that the database accepts writes: it is no standby, and is not made read-only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')::bool")
        [read_only] = cursor.fetchone()
    return Check("writes", not read_only, READ_ONLY if read_only else "They are accepted.")


def migrations() -> Check:
    """Compare the migrations of the code with those of the database."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = [str(migration) for migration, _backwards in plan]
        first, more = ", ".join(names[:MOST_EXPLAINED]), len(names) - MOST_EXPLAINED
        others = f" and {more} more" if more > 0 else ""
        text = f"The database lacks migrations: {first}{others}. Run manage.py migrate."
        return Check("migrations", False, text, {"unapplied": len(plan)})
    return Check("migrations", True, "All are applied.")


# What may be wrong with the publisher.
READ_ONLY = gettext_noop("The database is read-only: nothing can be saved or published.")
NO_WORKER = "No worker is connected."
NOTHING_FINISHED = gettext_noop("A worker is connected, but nothing has been finished yet.")
STILL = (
    "The queue has stopped moving: workers are connected, but none that publishes has finished"
    " anything for %(time)s."
)
STUCK = "The oldest job that no worker has taken up has been due for %(time)s."


class Publisher(NamedTuple):
    """The state of the publisher in figures; None where there is nothing to measure."""

    connections: int
    seconds_since_beat: float | None
    # For how long the oldest stuck job has waited for a worker.
    stuck_seconds: float | None
    # For how long the oldest overdue job has been due; not by itself a fault of the publisher.
    overdue_seconds: float | None = None
    paused: Pause | None = None
    # When it was like this, by the database's clock.
    now: datetime | None = None
    read_only: bool = False

    def faults(self) -> Iterator[tuple[str, float]]:
        """Return what keeps it from publishing, and for how many seconds it has."""
        beat = self.seconds_since_beat
        if self.read_only:
            yield READ_ONLY, 0
        if not self.connections:
            yield NO_WORKER, 0
        elif beat is None:
            yield NOTHING_FINISHED, 0
        elif beat > STILL_AFTER_SECONDS:
            yield STILL, beat
        if self.stuck_seconds is not None:
            yield STUCK, self.stuck_seconds

    def problems(self) -> list[str]:
        """Return a sentence in English for each of its faults, for programs and logs."""
        problems = [text % {"time": f"{seconds:.0f} s"} for text, seconds in self.faults()]
        if self.paused and self.stuck_seconds is not None:
            # Without its reason, which a person wrote: monitors ask without a login.
            since = utc(self.paused.paused_at, "milliseconds")
            held = f"The oldest job it holds has been due for {self.stuck_seconds:.0f} s."
            problems[-1] = f"Publishing is paused since {since}. {held}"
        return problems


@contextmanager
def _within_time() -> Iterator[None]:
    """Make a statement that waits too long raise `OperationalError`."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [int(1000 * ANSWER_WITHIN_SECONDS)])
        yield


@_within_time()
def publisher() -> Publisher:
    """Query the state of the publisher; cheap however much is scheduled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::float8,"
            " current_setting('transaction_read_only')::bool"
            " FROM scheduling_heartbeat WHERE lane = %s",
            [conf.PUBLISH_LANE],
        )
        since_beat, read_only = cursor.fetchone()
    now = clock.database_now()
    stuck = Job.objects.stuck(now=now).values_list("next_attempt_at", flat=True).first()
    overdue = Job.objects.overdue(now=now).order_by("run_at", "pk")
    return Publisher(
        connections=workers.count_clusters(),
        seconds_since_beat=since_beat,
        stuck_seconds=_seconds_since(stuck, now),
        overdue_seconds=_seconds_since(overdue.values_list("run_at", flat=True).first(), now),
        paused=pausing.current(),
        now=now,
        read_only=read_only,
    )


def _seconds_since(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()


# For `doctor` only


def vanished_hosts() -> Check:
    """Check that PostgreSQL soon ends the sessions of a host that has vanished, and its locks."""
    seconds, stored = keepalives.seconds_until_noticed(), keepalives.stored_in_role()
    facts = {"seconds": seconds, "role": stored}
    if seconds is None:
        text = "None that matters to PostgreSQL: it is reached by a Unix socket."
        return Check("vanished hosts", True, text, facts)
    length = duration(timedelta(seconds=seconds))
    text = f"PostgreSQL ends the sessions of one, and so its locks, after {length}."
    if seconds <= keepalives.TOO_LONG_SECONDS:
        return Check("vanished hosts", True, text, facts)
    if stored:
        text += " The role has better settings: have the pooler reconnect."
    elif conf.VANISHED_AFTER:
        text += " Run manage.py keepalives --set."
    else:
        text += " VANISHED_AFTER is 0: the server's own settings count."
    return Check("vanished hosts", not conf.VANISHED_AFTER, text, facts)


def _vanished_hosts() -> Iterator[Check]:
    yield vanished_hosts()


# What happens to an inconsistency.
SWEPT = "Each sweep repairs what is due within the hour, one an hour the rest."
IDLE = "It will change nothing: what the item asks for counts."
LOST = "It cannot be run again: schedule it anew."


def _settings() -> Iterator[Check]:
    # In development most of what a deployed site needs is left out on purpose; never logins.
    tags = ["logins"] if settings.DEBUG else ["logins", system_checks.Tags.security]
    found = system_checks.run_checks(tags=tags, include_deployment_checks=True)
    named = [it for it in found if it.level >= system_checks.WARNING and not it.is_silenced()]
    text = " ".join(f"{it.id}: {it.msg}" for it in named) or "Nothing is wrong with them."
    if named:
        text += " See manage.py check --deploy."
    ok = all(it.level < system_checks.ERROR for it in named)
    yield Check("settings and logins", ok, text, {"ids": [it.id for it in named]})


def _sessions() -> Iterator[Check]:
    own = pooling.has_session(connection)
    text = "Each connection has a session of its own."
    if not own:
        text = f"None of its own, behind a pooler: workers here poll every {Conf.POLL:.1f} s."
        if conf.QUEUE_LISTEN:
            text += " That was found out; QUEUE_LISTEN=off says it."
    problem = schemas.find_problem()
    if conf.DATABASE_SCHEMA:
        text += f" {problem}" if problem else f" They look in the schema {conf.DATABASE_SCHEMA}."
    facts = {"own": own, "queue_listen": bool(conf.QUEUE_LISTEN), "schema": conf.DATABASE_SCHEMA}
    yield Check("sessions", problem is None, text, facts)


def _workers() -> Iterator[Check]:
    # Stuck jobs are a check of their own, and whether the database takes writes.
    state = publisher()._replace(stuck_seconds=None, read_only=False)
    problems = state.problems()
    text = f"Connected, with {state.connections} clusters, one a lane; the queue moves."
    facts = {"connections": state.connections, "seconds_since_beat": state.seconds_since_beat}
    yield Check("worker", not problems, " ".join(problems) or text, facts)
    if not state.connections:
        return
    for lane in (conf.SLOW_LANE, conf.MAIL_LANE):
        newest = Heartbeat.objects.filter(lane=lane).order_by("-beat_at").first()
        since = None
        if newest is not None:
            since = (clock.database_now() - newest.beat_at).total_seconds()
        moves = since is not None and since < holds.silent_after_seconds(lane)
        text = "Its workers finish their tasks."
        if not moves:
            text = "No worker of this lane has finished anything lately. Start manage.py qcluster."
        yield Check(f"lane {lane}", moves, text, {"seconds_since_beat": since})
    running = workers.running_workers()
    # Several are intended while workers are started anew, so they are no fault.
    text = f"All run {__version__}, as this command does."
    if others := [str(worker) for worker in running if worker.version != __version__]:
        text = f"This command is of {__version__}. Workers of other versions: {'; '.join(others)}."
        text += " Start them anew when all hosts have the new version."
    here_and_there = {"here": __version__, "workers": [worker._asdict() for worker in running]}
    yield Check("versions", True, text, here_and_there)


def _pause() -> Iterator[Check]:
    paused = pausing.current()
    # A pause is intended, so it is no fault. The next check reports what is overdue because of it.
    text = "It is not paused."
    if paused:
        text = f"{holds.described_pause(paused)} See manage.py resume."
    yield Check("publishing", True, text, {"paused_since": paused and paused.paused_at})


def _overdue() -> Iterator[Check]:
    now = clock.database_now()
    overdue, stuck = Job.objects.overdue(now=now), Job.objects.stuck(now=now)
    number, untouched = overdue[:MOST_COUNTED].count(), stuck[:MOST_COUNTED].count()
    text = "None."
    if number:
        how = "held by the pause" if pausing.current() else "taken up by no worker"
        text = f"{_at_most(number)}, {_at_most(untouched)} of them {how}."
        text += " See manage.py jobs --overdue."
    oldest = list(overdue.order_by("run_at", "pk")[:MOST_NAMED])
    explained = oldest[:MOST_EXPLAINED]
    found_of = holds.holds_of(explained, now=now, paused=None)
    held = {job: found_of[job.pk] for job in explained}
    for job, found in held.items():
        if found:
            by = " ".join(hold.text for hold in found)
            text += f" Job {job.pk} ({job.kind} {job.item_label}): {by}"
    facts = {
        "count": number,
        "stuck": untouched,
        "oldest": [job.pk for job in oldest],
        "held": [
            {"job": job.pk, "by": hold.subject, **hold.facts}
            for job, found in held.items()
            for hold in found
        ],
    }
    yield Check("overdue jobs", not untouched, text, facts)


def _locked() -> Iterator[Check]:
    """Name who has locked the oldest due jobs; that is a fault once one of them is overdue."""
    now = clock.database_now()
    due = list(Job.objects.open().filter(run_at__lte=now).order_by("run_at", "pk")[:MOST_LOOKED_AT])
    named: dict[str, list[Job]] = {}
    facts = []
    held = holds.locks_of(due, now=now)
    for job in due:
        for hold in held[job.pk]:
            if hold.subject == "lock":
                named.setdefault(hold.text, []).append(job)
                facts.append({"held": job.pk, **hold.facts})
    text = " ".join(list(named)[:MOST_NAMED])
    if len(named) > MOST_NAMED:
        text += f" And {len(named) - MOST_NAMED} more."
    late = any(job.is_overdue(now=now) for jobs in named.values() for job in jobs)
    if named and not late:
        text += " No job that it holds is overdue yet."
    yield Check("locked jobs", not late, text or "None.", {"locks": facts[:MOST_LOOKED_AT]})


def _clocks() -> Iterator[Check]:
    ahead = (datetime.now(UTC) - clock.database_now()).total_seconds()
    yield _clock("clock of this host", ahead)
    fresh = clock.database_now() - workers.FRESH
    of_hosts = Heartbeat.objects.filter(beat_at__gt=fresh).order_by("host", "-beat_at")
    for beat in of_hosts.distinct("host"):
        yield _clock(f"clock of {beat.host}", beat.clock_ahead_ms / 1000)


def _clock(name: str, ahead: float) -> Check:
    ok = abs(ahead) <= CLOCK_TOLERANCE_SECONDS
    text = f"{abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} the database's."
    if not ok:
        text += " Publishing goes by the database's, but logs and forms of this host are off."
    return Check(name, ok, text, {"ahead_seconds": ahead})


def _zones() -> Iterator[Check]:
    rules = zone_rules.rules(clock.database_now())
    yield Check("time zone rules", True, rules.sentence(), rules._asdict())

    changes = list(zone_changes.find_changes())
    number = sum(change.jobs for change in changes)
    named = [
        f"{job.item_label}, {change.local_time}, comes at {utc(change.run_at, 'seconds')}"
        for change in changes[:MOST_NAMED]
        for job in zone_changes.jobs_of(change).order_by("pk")[:MOST_NAMED]
    ][:MOST_NAMED]
    text = "None."
    if number:
        text = f"{number}: {'; '.join(named)}. See manage.py zone_changes."
    yield Check("local times that have shifted", not number, text, {"count": number})


def _pairs() -> Iterator[Check]:
    for model in schedulable_models():
        name = model._meta.model_name
        of_model = Job.objects.of_type(model)
        marks = [it.on_failure for it in mirrored() if it.on_failure]
        for transition in mirrored():
            kind, time = transition.name, str(transition.time_field)
            jobs, items = of_model.filter(kind=kind), model._base_manager.all()
            # A failed job is no open job, and is listed among the failures.
            answer = jobs.filter(Q(state__in=OPEN_STATES) | Q(state=State.FAILED))
            found = answer.filter(object_id=OuterRef("pk"), run_at=OuterRef(time))
            without = items.filter(transition.asking()).filter(~Exists(found))
            yield _pair(f"{name} to {kind} without a job", without, SWEPT)
            # Jobs of a failed item's other times wait for a rerun.
            asking = items.filter(transition.asking() | Q(status__in=marks))
            unasked = jobs.open().filter(
                ~Exists(asking.filter(**{"pk": OuterRef("object_id"), time: OuterRef("run_at")}))
            )
            yield _pair(f"job to {kind} a {name} that does not ask for it", unasked, IDLE)
            if transition.on_failure:
                failed = jobs.filter(state=State.FAILED)
                of_item = failed.filter(object_id=OuterRef("pk"), run_at=OuterRef(time))
                lost = items.filter(status=transition.on_failure).filter(~Exists(of_item))
                yield _pair(f"failed {name} without a failed job", lost, LOST)
    silent = Job.objects.open().filter(~Exists(OrmQ.objects.filter(pk=OuterRef("message_id"))))
    yield _pair("open job without a message", silent, SWEPT)


def _pair(name: str, rows: QuerySet[Model], what_then: str) -> Check:
    with transaction.atomic():
        join_by_hash()
        number = rows.order_by()[:MOST_COUNTED].count()
    text = f"{_at_most(number)}. {what_then}" if number else "None."
    return Check(name, not number, text, {"count": number})


def _messages() -> Iterator[Check]:
    for lane in conf.lanes():
        oldest = OrmQ.objects.filter(key=lane).order_by("lock", "pk").first()
        if oldest is not None and read_payload(oldest.payload) is None:
            text = (
                f"The oldest of lane {lane}, {oldest.pk}, cannot be read: was SECRET_KEY changed?"
                " Jobs still run; other tasks fail."
            )
            yield Check("messages", False, text, {"lane": lane, "id": oldest.pk})
            return
    yield Check("messages", True, "The oldest of each lane can be read.")


def _failures() -> Iterator[Check]:
    number = Job.objects.filter(state=State.FAILED)[:MOST_COUNTED].count()
    text = f"{_at_most(number)}. See manage.py jobs --state failed." if number else "None."
    yield Check("failed jobs", True, text, {"count": number})
    late = clock.database_now() - MAIL_TAKES
    unsent = Job.objects.not_notified().filter(finished_at__lt=late)[:MOST_COUNTED].count()
    text = "None."
    if unsent:
        text = f"{_at_most(unsent)} for minutes. Look at EMAIL_URL and the worker's log."
    yield Check("failures nobody was notified of", not unsent, text, {"count": unsent})


def _at_most(number: int) -> str:
    return f"{number} or more" if number == MOST_COUNTED else str(number)
