-- name: write
-- Writes the heartbeats of the clusters of one worker.
INSERT INTO scheduling_heartbeat (owner, lane, host, pid, version, beat_at, clock_ahead_ms)
SELECT owner, lane, %(host)s, %(pid)s, %(version)s, clock_timestamp() - make_interval(secs => age),
       1000 * extract(epoch FROM %(here)s - clock_timestamp())
FROM unnest(%(owners)s::int[], %(lanes)s::text[], %(ages)s::float8[]) AS w(owner, lane, age)
ON CONFLICT (owner) DO UPDATE
SET beat_at = excluded.beat_at, clock_ahead_ms = excluded.clock_ahead_ms

-- name: delete
-- Deletes the heartbeat of a cluster that ends, and those of clusters that ended long ago; none that
-- is locked.
DELETE FROM scheduling_heartbeat WHERE owner = ANY(ARRAY(
    SELECT owner FROM scheduling_heartbeat
    WHERE owner = %s OR beat_at < clock_timestamp() - make_interval(secs => %s)
    FOR UPDATE SKIP LOCKED))
