-- name: are_lost
-- Whether a job has no queue row. Asked only while no row is due, when few jobs are due: those that
-- are being run. Two things are looked at: the row of the first job to come, which is due no later
-- than the job; and the rows of jobs that have been due for a while, which a worker has claimed.
-- The limits keep PostgreSQL from comparing all: it expects a third of all open jobs to be due.
EXISTS (
    SELECT FROM (
        SELECT next_attempt_at, message_id FROM scheduling_job
        WHERE state IN ('waiting', 'retrying')
          AND next_attempt_at > (SELECT clock_timestamp())
        ORDER BY next_attempt_at, id LIMIT 1
    ) AS first
    WHERE NOT EXISTS (SELECT FROM django_q_ormq WHERE id = first.message_id)
) OR EXISTS (
    SELECT FROM (
        SELECT message_id FROM scheduling_job
        WHERE state IN ('waiting', 'retrying')
          AND next_attempt_at < (SELECT clock_timestamp() - interval '2 seconds')
        ORDER BY next_attempt_at, id LIMIT 100
    ) AS late
    WHERE NOT EXISTS (SELECT FROM django_q_ormq WHERE id = late.message_id)
)

-- name: needed_at
-- Of the queue row `message`: when the job has to run that it wakes a worker for. NULL if it is the
-- row of no job, of a finished one, or of one that has another row by now.
(SELECT next_attempt_at FROM scheduling_job
 WHERE id = message.armo_job AND message_id = message.id AND state IN ('waiting', 'retrying'))
