-- name: without_message
-- Locks the next open jobs that have no queue row.
SELECT job.id, job.next_attempt_at, job.kind, job.content_type_id
FROM scheduling_job AS job
WHERE job.state IN ('waiting', 'retrying')
  AND job.next_attempt_at <= %(until)s
  AND (job.next_attempt_at, job.id) > (%(after_time)s, %(after_id)s)
  AND NOT EXISTS (SELECT FROM django_q_ormq AS message WHERE message.id = job.message_id)
ORDER BY job.next_attempt_at, job.id
LIMIT %(limit)s
FOR UPDATE OF job SKIP LOCKED

-- name: still_without
-- Returns those of some locked jobs that have no queue row.
SELECT job.id, job.next_attempt_at, job.kind, job.content_type_id
FROM scheduling_job AS job
WHERE job.id = ANY(%s)
  AND NOT EXISTS (SELECT FROM django_q_ormq AS message WHERE message.id = job.message_id)
ORDER BY job.next_attempt_at, job.id

-- name: link
-- Gives jobs their new queue rows.
UPDATE scheduling_job AS job SET message_id = link.message_id
FROM unnest(%s::bigint[], %s::bigint[]) AS link(job_id, message_id)
WHERE job.id = link.job_id

-- name: fewer_messages
-- Asks whether there are fewer queue rows than open jobs after a time.
SELECT (SELECT count(*) FROM django_q_ormq WHERE key = ANY(%(lanes)s) AND lock > %(after)s)
     < (SELECT count(*) FROM scheduling_job
        WHERE state IN ('waiting', 'retrying') AND next_attempt_at > %(after)s)
