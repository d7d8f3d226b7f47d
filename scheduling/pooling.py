"""Whether a connection has a session of its own, or shares PostgreSQL's through a pooler."""

from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from scheduling import conf

# By psycopg's connection, which Django replaces when it is lost.
_is_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def has_session(connection: BaseDatabaseWrapper) -> bool:
    """
    Return whether the session is this connection's alone: its locks, LISTEN, prepared statements.

    With `QUEUE_LISTEN` off it is taken not to be. Otherwise it is found out, once a connection: a
    pooler such as PgBouncer gives its client a process id that it has made up, by which the client
    could cancel a statement; PostgreSQL's process that answers has another.

    :raises django.db.Error: the database cannot be reached.
    """
    if not conf.QUEUE_LISTEN:
        return False
    connection.ensure_connection()
    own = connection.connection
    if own not in _is_direct:
        with connection.wrap_database_errors:
            [pid] = own.execute("SELECT pg_backend_pid()").fetchone()
        _is_direct[own] = pid == own.info.backend_pid
    return _is_direct[own]
