"""
Query the figures of `/metrics`, for Prometheus.

All are of the database, so that every web process answers the same. Each statement reads a bounded
number of rows, however large the tables are: what is open is counted up to `MOST_COUNTED`, and what
has happened has been counted before (`scheduling.operations.event_counts`). Labels are names of
kinds, states, lanes, versions, hosts and classes of errors; no text of people's is among them.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import QuerySet
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from scheduling import __version__, conf
from scheduling.models import TRANSITIONS, EventCount, Heartbeat, Job, JobEvent, Pause, State, clock
from scheduling.operations import event_counts
from scheduling.queries import holds, workers
from scheduling.queries.health import MAIL_TAKES
from scheduling.queue.outages import first_line

logger = logging.getLogger(__name__)

# Open jobs and queue rows are counted up to this number, others up to the second.
MOST_COUNTED = 50_000
MOST_FAILED = 10_000
# Together with what the database needs to connect it has to be within Prometheus's time-out, 10 s.
STATEMENT_MS = 4000

What = JobEvent.What


class DatabaseCollector(Collector):
    """Collects what the database knows; one sample says whether it has answered."""

    def collect(self) -> Iterator[Metric]:
        """Query all metrics; only `armo_database_up` if the database does not answer in time."""
        found: list[Metric] = []
        try:
            found += _collect()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The metrics could not be queried: %s", first_line(error))
            found = []
        up = "Whether the database has answered in time: 1, or 0."
        yield GaugeMetricFamily("armo_database_up", up, float(bool(found)))
        yield from found


def _collect() -> Iterator[Metric]:
    with holds.never_waiting():
        _limit_time()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only')::bool")
            [read_only] = cursor.fetchone()
    text = "Whether the database refuses writes, as a standby does: 1, or 0."
    yield GaugeMetricFamily("armo_database_read_only", text, float(read_only))
    if not read_only:
        _count_events()
    with holds.never_waiting():
        _limit_time()
        now = clock.database_now()
        for step in (_publisher, _jobs, _queue, _workers):
            yield from step(now)
        yield from _events()


def _limit_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", [STATEMENT_MS])


def _count_events() -> None:
    """Have what happened since the last time counted; metrics are answered without it, too."""
    try:
        event_counts.count_events()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("Events could not be counted: %s", first_line(error))


def _publisher(now: datetime) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "armo_build_info", "The version of this web process.", labels=["version"]
    )
    info.add_metric([__version__], 1)
    yield info
    is_paused = Pause.objects.exists()
    text = "Whether publishing is paused for the whole site: 1, or 0."
    yield GaugeMetricFamily("armo_paused", text, float(is_paused))


def _jobs(now: datetime) -> Iterator[Metric]:
    text = f"Jobs that have still to run, counted up to {MOST_COUNTED:,}, and failed ones."
    jobs = GaugeMetricFamily("armo_jobs", text, labels=["kind", "state"])
    states = (State.WAITING, State.RETRYING, State.FAILED)
    found: Counter[tuple[str, str]] = Counter(
        {(kind, state.value): 0 for kind in TRANSITIONS for state in states}
    )
    open_jobs = Job.objects.open().order_by("run_at", "pk")[:MOST_COUNTED]
    failed = Job.objects.filter(state=State.FAILED).order_by("-pk")[:MOST_FAILED]
    for rows in (open_jobs, failed):
        found.update(_count_by(rows.values_list("kind", "state")))
    for (kind, state), number in found.items():
        jobs.add_metric([kind, state], number)
    yield jobs

    due = Job.objects.due()[:MOST_COUNTED].count()
    text = f"Open jobs that are due, counted up to {MOST_COUNTED:,}."
    yield GaugeMetricFamily("armo_due_jobs", text, due)

    overdue = Job.objects.overdue(now=now)
    text = f"Open jobs due for more than OVERDUE_AFTER seconds, counted up to {MOST_COUNTED:,}."
    yield GaugeMetricFamily("armo_overdue_jobs", text, overdue[:MOST_COUNTED].count())
    oldest = overdue.order_by("run_at", "pk").values_list("run_at", flat=True).first()
    text = "How long ago the time of the oldest overdue job came; 0 if none is overdue."
    yield GaugeMetricFamily("armo_oldest_overdue_seconds", text, _seconds(oldest, now))
    stuck = Job.objects.stuck(now=now).values_list("next_attempt_at", flat=True).first()
    text = "For how long the oldest overdue job that no worker works on has waited; 0 if none has."
    yield GaugeMetricFamily("armo_oldest_stuck_seconds", text, _seconds(stuck, now))

    unsent = Job.objects.not_notified().filter(finished_at__lt=now - MAIL_TAKES)
    text = f"Failures that nobody was mailed about for {MAIL_TAKES.total_seconds():.0f} s."
    yield GaugeMetricFamily("armo_unmailed_failures", text, unsent[:MOST_FAILED].count())


def _queue(now: datetime) -> Iterator[Metric]:
    text = f"Queue rows of each lane, counted up to {MOST_COUNTED:,} each."
    rows = GaugeMetricFamily("armo_queue_rows", text, labels=["lane", "state"])
    for lane in conf.lanes():
        with connection.cursor() as cursor:
            # A claimed row has a time in the future, at which its claim is over.
            cursor.execute(QUEUE_ROWS, {"lane": lane, "now": now, "most": MOST_COUNTED})
            due, later, claimed = cursor.fetchone()
        for state, number in (("waiting", later - claimed), ("due", due), ("claimed", claimed)):
            rows.add_metric([lane, state], max(number, 0))
    yield rows


QUEUE_ROWS = """
    SELECT
        (SELECT count(*) FROM (SELECT FROM django_q_ormq WHERE key = %(lane)s AND lock <= %(now)s
            ORDER BY lock, id LIMIT %(most)s) AS due),
        (SELECT count(*) FROM (SELECT FROM django_q_ormq WHERE key = %(lane)s AND lock > %(now)s
            ORDER BY lock, id LIMIT %(most)s) AS later),
        (SELECT count(*) FROM django_q_ormq
            WHERE armo_owner IS NOT NULL AND key = %(lane)s AND lock > %(now)s)
"""


def _workers(now: datetime) -> Iterator[Metric]:
    text = "Clusters that are connected, one a lane of each worker; 0 when no worker runs."
    yield GaugeMetricFamily("armo_connected_clusters", text, workers.count_clusters())

    longest = max(holds.silent_after_seconds(lane) for lane in conf.own_lanes())
    reaching = max(workers.FRESH, timedelta(seconds=longest))
    found = list(Heartbeat.objects.filter(beat_at__gt=now - reaching).order_by("beat_at"))
    beats = [beat for beat in found if beat.beat_at > now - workers.FRESH]
    text = "Workers that have finished a task in the last two minutes, by version of their code."
    running = GaugeMetricFamily("armo_workers", text, labels=["version"])
    of_versions = {(beat.version, beat.host, beat.pid) for beat in beats}
    for version, number in Counter(version for version, *_ in of_versions).items():
        running.add_metric([version or OLD_VERSION], number)
    yield running
    text = "Clusters that have finished a task in the last two minutes."
    clusters = GaugeMetricFamily("armo_clusters", text, labels=["lane", "version"])
    of_lanes = Counter((beat.lane, beat.version) for beat in beats)
    for (lane, version), number in of_lanes.items():
        clusters.add_metric([lane, version or OLD_VERSION], number)
    yield clusters

    text = "Whether a worker of the lane has finished a task as lately as it should: 1, or 0."
    moving = GaugeMetricFamily("armo_lane_up", text, labels=["lane"])
    last_beats = {beat.lane: beat.beat_at for beat in found}
    for lane in dict.fromkeys([*conf.own_lanes(), *last_beats]):
        newest = last_beats.get(lane)
        is_up = newest is not None and _seconds(newest, now) <= holds.silent_after_seconds(lane)
        moving.add_metric([lane], float(is_up))
    yield moving

    text = "By how much the clock of a worker's host is ahead of the database's."
    ahead = GaugeMetricFamily("armo_clock_ahead_seconds", text, labels=["host"])
    for host, beat in {beat.host: beat for beat in beats}.items():
        ahead.add_metric([host], beat.clock_ahead_ms / 1000)
    yield ahead


OLD_VERSION = "before 0.2.0"


def _events() -> Iterator[Metric]:
    counts = list(EventCount.objects.order_by("pk"))
    number: Counter[tuple[str, str]] = Counter(
        {(kind, what.value): 0 for kind in TRANSITIONS for what in What}
    )
    errors: Counter[tuple[str, str, str]] = Counter()
    lateness: dict[str, Counter[str]] = {kind: Counter() for kind in TRANSITIONS}
    seconds: dict[str, float] = defaultdict(float)
    newest: dict[str, datetime] = {}
    for count in counts:
        kind, what = count.kind, count.what
        number[kind, what] += count.number
        if what in (What.ATTEMPT_FAILED, What.FAILED):
            errors[kind, count.error_class, count.error] += count.number
        if what == What.SUCCEEDED:
            newest[kind] = max(newest.get(kind, count.last_at), count.last_at)
            if count.lateness_to:
                lateness.setdefault(kind, Counter())[count.lateness_to] += count.number
                seconds[kind] += count.lateness_seconds

    text = "What has happened to jobs, by the lines of their histories."
    events = CounterMetricFamily("armo_job_events", text, labels=["kind", "event"])
    for (kind, what), total in number.items():
        events.add_metric([kind, what], total)
    yield events
    text = "Attempts that failed, the last ones of failed jobs included, by class of the error."
    attempts = CounterMetricFamily(
        "armo_failed_attempts", text, labels=["kind", "error_class", "error"]
    )
    for names, total in errors.items():
        attempts.add_metric(names, total)
    yield attempts
    text = "When the last job of the kind succeeded, in seconds since 1970."
    last = GaugeMetricFamily("armo_last_success_timestamp_seconds", text, labels=["kind"])
    for kind, at in newest.items():
        last.add_metric([kind], at.timestamp())
    yield last
    text = "From the time asked for until a worker had made the change."
    late = HistogramMetricFamily("armo_lateness_seconds", text, labels=["kind"])
    for kind, of_kind in lateness.items():
        late.add_metric([kind], _cumulated(of_kind), seconds[kind])
    yield late


def _cumulated(numbers: Counter[str]) -> list[tuple[str, float]]:
    """Return how many are at most as late as each limit; limits of other versions count, too."""
    limits = sorted({*event_counts.LATENESS_TO, *numbers}, key=float)
    total, buckets = 0, []
    for limit in limits:
        total += numbers[limit]
        buckets.append((limit, float(total)))
    return buckets


def _count_by(rows: "QuerySet[Any, Any]") -> dict[Any, int]:
    """Count the rows of a query that has a limit, by what it selects."""
    sql, params = rows.query.sql_with_params()
    columns = ", ".join(str(place) for place in range(1, len(rows.query.values_select) + 1))
    with connection.cursor() as cursor:
        statement = f"SELECT *, count(*) FROM ({sql}) AS counted GROUP BY {columns}"  # noqa: S608 (Django's own)  # nosec B608
        cursor.execute(statement, params)
        return {tuple(key): number for *key, number in cursor.fetchall()}


def _seconds(at: datetime | None, now: datetime) -> float:
    return 0 if at is None else (now - at).total_seconds()
