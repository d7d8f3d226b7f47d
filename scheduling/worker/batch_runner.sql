-- name: claim
-- Locks the due jobs of one batch. "Due" is by the database's clock at the moment of the claim; why
-- in a subquery, see `ClockNow`. `after` is the last job of the batch before: jobs that were skipped
-- are not selected again, and jobs that are locked belong to others. A job whose attempt has begun
-- is left to its own run, which has to find out how that ended. While publishing is paused only
-- the ends of named items are claimed: they belong to a change in the same transaction, which a
-- pause that has come meanwhile refuses as a whole.
SELECT id, content_type_id, object_id, run_at, next_attempt_at, request_id,
    traceparent, message_id{params}
FROM scheduling_job
WHERE state IN ('waiting', 'retrying')
  AND kind = %(kind)s
  AND next_attempt_at <= (SELECT clock_timestamp())
  AND content_type_id = ANY(%(types)s)
  AND attempt_begun_at IS NULL
  AND (next_attempt_at, id) > (%(after_time)s, %(after_id)s)
  AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
  AND (%(items)s::bigint[] IS NULL OR object_id = ANY(%(items)s))
  AND (%(items)s::bigint[] IS NOT NULL OR NOT EXISTS (SELECT FROM scheduling_pause))
  {alone}
ORDER BY next_attempt_at, id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: only_earliest
-- Of the claim, where kinds are registered that mirror no time. An item may have several open jobs
-- of them: the earliest of its open jobs comes first, whatever its kind.
AND NOT EXISTS (
    SELECT FROM scheduling_job AS before
    WHERE before.content_type_id = scheduling_job.content_type_id
      AND before.object_id = scheduling_job.object_id
      AND before.state IN ('waiting', 'retrying')
      {kinds}
      AND (before.run_at, before.id) < (scheduling_job.run_at, scheduling_job.id))

-- name: run_batch
-- Claims a batch, changes its items, closes its jobs, records their events and deletes their queue
-- rows. Each step finds its rows by an array of ids, and looks up those of earlier steps by hash
-- (`IS TRUE` keeps PostgreSQL from planning a join): with statistics that a burst has made wrong, a
-- join may read whole tables, or compare each row with each. `moment` is read after every claim, so
-- it is never before a job's time. A queue row that is locked is left: when it is delivered there is
-- nothing to do. Only one in which a transaction has noted itself (`xmax`) may be; else none is asked.
WITH due AS MATERIALIZED ({claim}
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM due) AS after_all_claims
), {items}
, done AS MATERIALIZED ({done}
), closed AS (
    UPDATE scheduling_job
    SET state = 'succeeded', finished_at = (SELECT at FROM moment), attempts = attempts + 1,
        message_id = NULL
    WHERE id = ANY(ARRAY(SELECT job FROM done))
), finished AS MATERIALIZED (
    SELECT id, message_id, request_id FROM due WHERE (id IN (SELECT job FROM done)) IS TRUE
), recorded AS (
    INSERT INTO scheduling_jobevent (job_id, what, at, reason, request_id)
    SELECT id, 'succeeded', at, '', request_id FROM finished, moment
), taken_back AS (
    DELETE FROM django_q_ormq
    WHERE id = ANY(ARRAY(SELECT message_id FROM finished))
      AND (xmax = '0' OR id = ANY(ARRAY(
          SELECT id FROM django_q_ormq WHERE id = ANY(ARRAY(SELECT message_id FROM finished))
          FOR UPDATE SKIP LOCKED)))
)
SELECT id, content_type_id, object_id, run_at, next_attempt_at, request_id, traceparent, at,
    id IN (SELECT job FROM done)
FROM due CROSS JOIN moment

-- name: change_items
-- Of the batch, for one type of content. The items are locked in a subquery, one after another, in
-- the order of their ids.
free_{n} AS MATERIALIZED (
    SELECT due.id AS job, item.id{params}
    FROM due CROSS JOIN moment CROSS JOIN LATERAL (
        {free} FOR UPDATE OF {table} SKIP LOCKED
    ) AS item (id)
    WHERE due.content_type_id = %({n}_type)s
), changed_{n} AS (
    UPDATE {table} SET {change}
    WHERE {key} = ANY(ARRAY(SELECT id FROM free_{n}))
    RETURNING {key} AS id
)

-- name: changed_jobs
-- Of the batch, the jobs whose items of one type were changed.
SELECT job FROM free_{n} WHERE (id IN (SELECT id FROM changed_{n})) IS TRUE

-- name: any_due
-- Asks whether any job is due. PostgreSQL does not know how few of the open jobs are, and would read
-- the whole table if it had no order to follow an index by.
SELECT FROM scheduling_job
WHERE state IN ('waiting', 'retrying') AND kind = ANY(%(kinds)s)
  AND next_attempt_at <= (SELECT clock_timestamp())
  AND NOT EXISTS (SELECT FROM scheduling_pause)
ORDER BY next_attempt_at, id
LIMIT 1

-- name: next
-- Returns in how many seconds the next open job is due.
SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8
FROM scheduling_job
WHERE state IN ('waiting', 'retrying')
  AND next_attempt_at > (SELECT clock_timestamp() - make_interval(secs => %(past)s))
ORDER BY next_attempt_at, id
LIMIT 1
