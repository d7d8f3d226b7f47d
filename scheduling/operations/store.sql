-- name: open_jobs
-- Locks the open jobs of an item, and returns them with the database's clock. The clock is read
-- after the locks: waiting for them may have taken a while.
WITH open AS MATERIALIZED (
    SELECT {columns} FROM scheduling_job
    WHERE content_type_id = %s AND object_id = %s AND state IN ('waiting', 'retrying')
    ORDER BY id
    FOR UPDATE
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM open) AS after_all_locks
)
SELECT moment.at, open.* FROM moment LEFT JOIN open ON true

-- name: next_ids
-- Returns ids for new jobs.
SELECT nextval((SELECT pg_get_serial_sequence('scheduling_job', 'id')::regclass))
FROM generate_series(1, %s)

-- name: insert_jobs
-- Inserts jobs with their queue rows and first events; returns the ids of the rows. One statement
-- for any number: `bulk_create` takes ten times as long to write out its values as PostgreSQL to
-- store them. A job and its queue row refer to each other: both have their ids beforehand, so that
-- nothing is written twice.
WITH wanted AS MATERIALIZED (
    SELECT *, {next_message} AS message
    FROM json_to_recordset(%(wanted)s)
         AS (job bigint, kind text, type int, object bigint, title text, at timestamptz,
             slot bigint, params jsonb, key text, payload text)
), {put}, opened AS (
    INSERT INTO scheduling_job
        (id, kind, state, content_type_id, object_id, item_title, run_at, next_attempt_at,
         attempts, reason, scheduled_by_id, message_id, created_at, slot, params, local_time,
         request_id, traceparent)
    SELECT job, kind, 'waiting', type, object, title, at, at,
           0, %(reason)s::text, {by}, message, %(now)s, coalesce(slot, 0), params,
           %(local_time)s::text, %(request_id)s::text, %(traceparent)s::text
    FROM wanted
), recorded AS (
    INSERT INTO scheduling_jobevent (job_id, what, at, by_id, new_run_at, reason, detail, request_id)
    SELECT job, 'scheduled', %(now)s, {by}, at, %(reason)s::text, %(detail)s::jsonb,
           %(request_id)s::text
    FROM wanted
)
SELECT message, (SELECT count(*) FROM notified) FROM wanted

-- name: move_jobs
-- Gives open jobs another time, new queue rows in place of the old, and an event each. An old row that
-- is locked is left, as in a batch.
WITH wanted AS MATERIALIZED (
    SELECT *, {next_message} AS message
    FROM json_to_recordset(%(wanted)s)
         AS (job bigint, was timestamptz, old bigint, at timestamptz, key text, payload text)
), {put}, taken_back AS (
    DELETE FROM django_q_ormq
    WHERE id = ANY(ARRAY(SELECT old FROM wanted))
      AND (xmax = '0' OR id = ANY(ARRAY(
          SELECT id FROM django_q_ormq WHERE id = ANY(ARRAY(SELECT old FROM wanted))
          FOR UPDATE SKIP LOCKED)))
), moved AS (
    UPDATE scheduling_job AS job
    SET run_at = w.at, next_attempt_at = w.at, state = 'waiting', attempts = 0,
        attempt_begun_at = NULL, message_id = w.message, local_time = %(local_time)s::text,
        request_id = %(request_id)s::text, traceparent = %(traceparent)s::text
    FROM wanted AS w
    WHERE job.id = w.job
), recorded AS (
    INSERT INTO scheduling_jobevent
        (job_id, what, at, by_id, old_run_at, new_run_at, reason, detail, request_id)
    SELECT job, 'moved', %(now)s, {by}, was, at, %(reason)s::text, %(detail)s::jsonb,
           %(request_id)s::text
    FROM wanted
)
SELECT message, (SELECT count(*) FROM notified) FROM wanted
