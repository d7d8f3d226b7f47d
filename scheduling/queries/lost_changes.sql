-- name: unknown
-- Returns the places of the logged changes that no succeeded job answers for. Each is looked up in
-- the index `job_item`, by a scalar subquery: with EXISTS PostgreSQL may read all jobs for a hash.
-- `OFFSET 0` keeps it from the index of `finished_at`, which a burst has a thousand times.
SELECT place
FROM unnest(%(types)s::text[], %(items)s::bigint[], %(kinds)s::text[],
            %(from)s::timestamptz[], %(until)s::timestamptz[])
     WITH ORDINALITY AS logged (types, item, kinds, at, until, place)
WHERE (
    SELECT true
    FROM (
        SELECT finished_at FROM scheduling_job
        WHERE content_type_id = ANY(string_to_array(logged.types, ',')::int[])
          AND object_id = logged.item
          AND state = 'succeeded'
          AND kind = ANY(string_to_array(logged.kinds, ','))
        OFFSET 0
    ) AS job
    WHERE finished_at >= logged.at AND finished_at < logged.until
    LIMIT 1
) IS NULL
ORDER BY place

-- name: since
-- Returns for each change when the same was done since, when anything that readers see was, the open
-- job that will do it, and the newest one that failed.
SELECT job.*
FROM unnest(%(types)s::text[], %(items)s::bigint[], %(kinds)s::text[],
            %(from)s::timestamptz[], %(until)s::timestamptz[])
     WITH ORDINALITY AS logged (types, item, kinds, at, until, place)
CROSS JOIN LATERAL (
    SELECT min(finished_at) FILTER (WHERE is_same AND is_since) AS done_at,
           min(finished_at) FILTER (WHERE kind = ANY(%(changing)s) AND is_since) AS changed_at,
           min(id) FILTER (WHERE is_same AND is_open) AS open_id,
           min(next_attempt_at) FILTER (WHERE is_same AND is_open) AS open_at,
           max(id) FILTER (WHERE is_same AND state = 'failed') AS failed_id
    FROM (
        SELECT *, kind = ANY(string_to_array(logged.kinds, ',')) AS is_same,
               state IN ('waiting', 'retrying') AS is_open,
               state = 'succeeded' AND finished_at >= logged.until AS is_since
        FROM scheduling_job
        WHERE content_type_id = ANY(string_to_array(logged.types, ',')::int[])
          AND object_id = logged.item
    ) AS of_item
) AS job
ORDER BY place
