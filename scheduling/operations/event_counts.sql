-- name: mark
-- Locks the mark, unless another process is counting just now; says whether the events up to
-- `next_to` are all there. After a restore into another cluster its transactions are not those that
-- are noted.
SELECT counted_to, next_to,
    next_from_xid <= pg_snapshot_xmin(snapshot)::text::bigint
    OR next_from_xid > pg_snapshot_xmax(snapshot)::text::bigint
FROM scheduling_eventcountmark, pg_current_snapshot() AS snapshot
FOR UPDATE OF scheduling_eventcountmark SKIP LOCKED

-- name: count
-- Counts the events between two ids. The names of errors, which code may make up, are limited.
WITH known AS MATERIALIZED (
    SELECT DISTINCT error FROM scheduling_eventcount WHERE error <> ''
), event AS MATERIALIZED (
    SELECT job.kind, event.what, event.at,
        coalesce(left(event.detail ->> 'class', 9), '') AS error_class,
        coalesce(left(event.detail ->> 'error', 200), '') AS error,
        CASE WHEN event.what = 'succeeded' AND job.finished_at IS DISTINCT FROM job.created_at
            THEN greatest(extract(epoch FROM event.at - job.run_at), 0)::float8
        END AS lateness
    FROM scheduling_jobevent AS event JOIN scheduling_job AS job ON job.id = event.job_id
    WHERE event.id > %(counted_to)s AND event.id <= %(next_to)s
)
INSERT INTO scheduling_eventcount AS present
    (kind, what, error_class, error, lateness_to, number, lateness_seconds, last_at)
SELECT kind, what, error_class,
    CASE WHEN error = '' OR error IN (SELECT error FROM known)
            OR (SELECT count(*) FROM known) < %(most)s
        THEN error ELSE 'other' END AS name,
    coalesce((%(names)s::text[])[width_bucket(lateness, %(limits)s::float8[]) + 1], '') AS range,
    count(*), coalesce(sum(lateness), 0), max(at)
FROM event
GROUP BY kind, what, error_class, name, range
ON CONFLICT (kind, what, error_class, error, lateness_to) DO UPDATE
SET number = present.number + excluded.number,
    lateness_seconds = present.lateness_seconds + excluded.lateness_seconds,
    last_at = greatest(present.last_at, excluded.last_at)

-- name: move_mark
-- Notes what has been counted, and what comes next. An event that this cannot see yet, though its id
-- is lower, belongs to a transaction that had begun to write before this statement.
UPDATE scheduling_eventcountmark
SET counted_to = %(next_to)s, next_from_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    next_to = coalesce((
        SELECT max(id) FROM (
            SELECT id FROM scheduling_jobevent WHERE id > %(next_to)s ORDER BY id LIMIT %(limit)s
        ) AS event), %(next_to)s)
RETURNING next_to > counted_to
