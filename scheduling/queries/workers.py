"""Count the workers that are connected."""

from scheduling.queue import leases


def count_worker_connections() -> int:
    """
    Query how many connections claim jobs for workers, one a lane; 0 when no worker runs.

    Not by the name that PostgreSQL shows of its clients: behind a pooler it is that of whoever was
    served last.
    """
    return leases.count_owners()
