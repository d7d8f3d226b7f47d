-- name: claim
-- Claims due queue rows, the oldest first, by the database's clock: a worker's wrong clock does no
-- harm. The clock is read in a subquery, so that PostgreSQL can use the index: see `ClockNow`.
--
-- Rows of other tasks that were delivered before are claimed one at a time: one of them may be what
-- kills the worker, and would use up the deliveries of all that are claimed with it. A claim older
-- than a third of `retry`, which is a time-out and 10 s, is over: that task has failed.
--
-- While publishing is paused, the rows of jobs stay. A broker that knows of the pause says so in
-- `is_paused`: PostgreSQL then uses an index without those rows, instead of reading past them all.
WITH due AS MATERIALIZED (
    SELECT id, lock FROM django_q_ormq AS message
    WHERE key = %(key)s AND lock <= (SELECT clock_timestamp())
      AND (armo_job IS NULL
           OR NOT (%(is_paused)s OR {is_paused}))
      AND (armo_deliveries = 0 OR armo_job IS NOT NULL OR NOT EXISTS (
          SELECT FROM django_q_ormq AS suspect
          WHERE suspect.key = %(key)s AND suspect.armo_owner = %(owner)s
            AND suspect.armo_job IS NULL AND suspect.armo_deliveries > 1
            AND suspect.lock > clock_timestamp() + make_interval(secs => %(retry)s * 2 / 3)))
    ORDER BY lock, id LIMIT %(bulk)s
    FOR UPDATE SKIP LOCKED
)
UPDATE django_q_ormq AS message
SET lock = clock_timestamp() + make_interval(secs => %(retry)s),
    armo_owner = %(owner)s, armo_deliveries = armo_deliveries + 1
FROM due WHERE message.id = due.id
RETURNING due.lock, message.id, message.payload, armo_deliveries, armo_job, message.lock

-- name: unseen
-- Returns claims whose answer was lost with the connection: they may have been committed, and nobody
-- runs them. They are this owner's, and later than all that it has handed out.
SELECT id FROM django_q_ormq
WHERE key = %(key)s AND armo_owner = %(owner)s
  AND (lock > %(handed_out)s OR %(handed_out)s::timestamptz IS NULL)

-- name: abandoned
-- The condition of rows that a dead cluster had claimed, or this one without an answer.
key = %(key)s AND armo_owner IS NOT NULL
AND (armo_owner IS DISTINCT FROM %(owner)s AND (armo_owner = ANY(%(dead)s) OR NOT {is_alive})
     OR armo_owner = %(owner)s AND id = ANY(%(unseen)s::bigint[]))

-- name: release
-- Releases such claims, so that their rows are delivered again; an own one does not count as a
-- delivery. For a row that is locked nothing else waits: it is released at a later look.
UPDATE django_q_ormq
SET lock = clock_timestamp(), armo_owner = NULL,
    armo_deliveries = armo_deliveries - (armo_owner = %(owner)s)::int
WHERE id = ANY(ARRAY(SELECT id FROM django_q_ormq WHERE {abandoned} FOR UPDATE SKIP LOCKED))
RETURNING id

-- name: look
-- Returns all that a broker needs to know before it sleeps: in how many seconds the next row is due
-- (one that a pause holds is not), whether publishing is paused, whether a dead cluster has claims,
-- and whether some job has no row, which is asked only while no row is due.
WITH pause AS MATERIALIZED (
    SELECT {is_paused} AS is_on
), next AS MATERIALIZED (
    SELECT extract(epoch FROM CASE
        WHEN is_on THEN (
            SELECT min(lock) FROM django_q_ormq WHERE key = %(key)s AND armo_job IS NULL)
        ELSE (SELECT min(lock) FROM django_q_ormq WHERE key = %(key)s)
    END - clock_timestamp())::float8 AS seconds, is_on
    FROM pause
)
SELECT seconds, is_on,
    %(releases)s AND EXISTS (SELECT FROM django_q_ormq WHERE {abandoned}),
    CASE WHEN NOT %(finds)s OR seconds <= 0 THEN false ELSE {are_lost} END
FROM next
