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

-- name: insert
-- Inserts queue rows, and returns their ids in the order given.
WITH wanted AS MATERIALIZED (
    SELECT {next_message} AS message, key, payload, coalesce(at, clock_timestamp()) AS at, job
    FROM json_to_recordset(%(wanted)s)
         AS (key text, payload text, at timestamptz, job bigint)
), {put}
SELECT message, (SELECT count(*) FROM notified) FROM wanted ORDER BY message
