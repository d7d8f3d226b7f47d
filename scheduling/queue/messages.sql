-- name: put
-- Two CTEs of every statement that inserts queue rows: they insert the rows of its CTE `wanted`,
-- and notify the lanes where one of them is due soon.
message AS (
    INSERT INTO django_q_ormq (id, key, payload, lock, armo_job)
    SELECT message, key, payload, at, job FROM wanted
    RETURNING key, lock
), notified AS MATERIALIZED (
    SELECT pg_notify(%(channel)s, key) FROM message GROUP BY key
    HAVING min(lock) <= clock_timestamp() + make_interval(secs => %(notify_within)s)
)

-- name: find
-- Returns a queue row with what is known of its claim.
SELECT id, key, lock, armo_owner, armo_deliveries, armo_waiting_since
FROM django_q_ormq WHERE id = %s

-- name: later
-- Until when the row of a job waits that cannot run yet: once more as long as it has waited, but not
-- less than the first pause, and not more than the longest.
clock_timestamp() + least(
    greatest(clock_timestamp() - armo_waiting_since, make_interval(secs => %(first_pause)s)),
    make_interval(secs => %(longest_pause)s))

-- name: waiting
-- What else is set in a row that waits: it is one that nobody has claimed.
armo_waiting_since = coalesce(armo_waiting_since, clock_timestamp()),
armo_owner = NULL, armo_deliveries = 0

-- name: delete
-- Deletes queue rows, but those that are locked.
DELETE FROM django_q_ormq WHERE id = ANY(ARRAY(
    SELECT id FROM django_q_ormq WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED))

-- name: put_back
-- Puts the row of a job back that cannot run yet, notifies its lane, and returns until when it waits.
WITH message AS (
    UPDATE django_q_ormq SET lock = {later}, {waiting}
    WHERE id = (SELECT id FROM django_q_ormq WHERE id = %(id)s FOR UPDATE SKIP LOCKED)
    RETURNING key, lock
)
SELECT lock, pg_notify(%(channel)s, key) FROM message

-- name: acknowledge
-- Deletes the rows of finished tasks, and returns those that are locked, which it leaves. The row of a
-- job that has still to run, as it was locked, is put back instead, and waits at least until the job's
-- own time. One that was put back before, and not claimed since, is left alone.
WITH free AS MATERIALIZED (
    SELECT id FROM django_q_ormq WHERE id = ANY(%(ids)s) FOR UPDATE SKIP LOCKED
), kept AS (
    UPDATE django_q_ormq AS message SET lock = greatest({later}, {needed_at}), {waiting}
    WHERE id = ANY(ARRAY(SELECT id FROM free)) AND armo_deliveries > 0 AND {needed_at} IS NOT NULL
    RETURNING key
), notified AS MATERIALIZED (
    SELECT pg_notify(%(channel)s, key) FROM kept
), deleted AS (
    DELETE FROM django_q_ormq AS message
    WHERE id = ANY(ARRAY(SELECT id FROM free)) AND {needed_at} IS NULL
)
SELECT id FROM django_q_ormq
WHERE id = ANY(%(ids)s) AND id <> ALL(ARRAY(SELECT id FROM free))
  AND (SELECT count(*) FROM notified) >= 0

-- name: insert
-- Inserts queue rows, and returns their ids in the order given.
WITH wanted AS MATERIALIZED (
    SELECT {next_message} AS message, key, payload, coalesce(at, clock_timestamp()) AS at, job
    FROM json_to_recordset(%(wanted)s)
         AS (key text, payload text, at timestamptz, job bigint)
), {put}
SELECT message, (SELECT count(*) FROM notified) FROM wanted ORDER BY message
