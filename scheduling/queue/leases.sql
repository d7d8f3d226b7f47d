-- name: is_alive
-- The condition that an owner of claims lives: a session holds its advisory lock, or it has a lease
-- that has not run out. The database notices by itself when the process of a session is gone, and no
-- clock of a host is needed for either. Who has just connected, or could not renew its own, takes
-- every lease for one that still runs: meanwhile nobody could renew theirs.
(EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {lock} AND objid = {owner}::oid AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
 OR EXISTS (
    SELECT FROM armo_queue_lease AS lease
    WHERE lease.owner = {owner} AND (lease.ends_at > clock_timestamp() OR {may_be_late})))

-- name: renew
-- Gives an owner a new lease, or lengthens the one it has.
INSERT INTO armo_queue_lease (owner, ends_at)
VALUES (%(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (owner) DO UPDATE SET ends_at = excluded.ends_at

-- name: end
-- Ends the leases of owners that are gone, and those that have run out long ago; none that is locked.
DELETE FROM armo_queue_lease WHERE owner = ANY(ARRAY(
    SELECT owner FROM armo_queue_lease
    WHERE owner = ANY(%(owners)s::int[]) OR ends_at < clock_timestamp() - interval '1 day'
    FOR UPDATE SKIP LOCKED))

-- name: count
-- Counts the owners that live, of any lane.
SELECT (
    SELECT count(DISTINCT objid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = {lock} AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) + (SELECT count(*) FROM armo_queue_lease WHERE ends_at > clock_timestamp())
