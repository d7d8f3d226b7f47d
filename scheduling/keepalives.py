"""
How soon PostgreSQL ends the sessions of a host that has vanished.

Who loses power or network ends no connection. The session stays, with its locks and transaction,
until PostgreSQL's own host has asked in vain whether the other is still there: by default of Linux
after more than two hours. Each session sets that itself. Behind a pooler sessions are shared, and
are the pooler's: there the role in the database has the settings, by `manage.py keepalives --set`.
The schema of the tables, which is a setting of sessions too, goes the same ways.
"""

import json
from collections.abc import Mapping
from math import ceil
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from scheduling import conf, schemas
from scheduling.pooling import has_session

# How often PostgreSQL asks before it ends the session.
PROBES = 5
# A session that needs longer to end is reported.
TOO_LONG_SECONDS = 60

# What the client or DATABASE_URL has asked for itself stays.
SET = """
SELECT set_config(name, wanted.setting, false)
FROM json_each_text(%s) AS wanted (name, setting) JOIN pg_settings USING (name)
WHERE source <> 'client'
"""
EFFECTIVE = """
SELECT inet_client_addr() IS NOT NULL, name, setting::int FROM pg_settings WHERE name = ANY(%s)
"""
STORED = """
SELECT unnest(setconfig) FROM pg_db_role_setting
WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
NAMES = (
    *("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"),
    "tcp_user_timeout",
)


def wanted() -> dict[str, str]:
    """Return PostgreSQL's settings for `VANISHED_AFTER`; none if the server's own are to stay."""
    seconds: int = conf.VANISHED_AFTER
    if not seconds:
        return {}
    idle = max(seconds // 2, 1)
    interval = max((seconds - idle) // PROBES, 1)
    return {
        "tcp_keepalives_idle": f"{idle}",
        "tcp_keepalives_interval": f"{interval}",
        "tcp_keepalives_count": f"{max(ceil((seconds - idle) / interval), 1)}",
        # Where data is on its way, the others do not count.
        "tcp_user_timeout": f"{1000 * seconds}",
    }


def set_in_session(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Set them in a new session, which has just been made, and the schema of the tables."""
    if connection.alias != DEFAULT_DB_ALIAS or connection.vendor != "postgresql":
        return
    settings = schemas.search_path()
    # By a Unix socket no host can vanish.
    if not connection.connection.info.host.startswith("/"):
        settings |= wanted()
    if not settings or not has_session(connection):
        return
    with connection.wrap_database_errors:
        connection.connection.execute(SET, [json.dumps(settings)])


def of_role() -> dict[str, str]:
    """Return what `manage.py keepalives --set` stores: a session behind a pooler is not ours."""
    return {**wanted(), **schemas.search_path()}


@transaction.atomic
def set_in_role(settings: Mapping[str, str]) -> tuple[str, str]:
    """
    Store settings for the role that Armo connects as, in its database; new sessions have them.

    A role may do so for itself. Those that are not given are taken out again.

    :returns: the names of the role and of the database.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_database()")
        role, database = cursor.fetchone()
        for name in (*NAMES, *schemas.search_path()):
            change = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} RESET {}")
            parts: list[sql.Composable] = [sql.Identifier(database), sql.Identifier(name)]
            if name in settings:
                change = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}")
                parts.append(sql.Literal(settings[name]))
            cursor.execute(change.format(*parts).as_string(cursor.connection))
    return role, database


def stored_in_role() -> list[str]:
    """Query which of the settings the role has in this database, as `name=value`."""
    with connection.cursor() as cursor:
        cursor.execute(STORED)
        stored = [setting for (setting,) in cursor.fetchall()]
    return [setting for setting in stored if setting.partition("=")[0] in NAMES]


def seconds_until_noticed() -> float | None:
    """
    Query after how many seconds PostgreSQL ends the session of a host that has vanished.

    :returns: None if it is reached by a Unix socket.
    """
    with connection.cursor() as cursor:
        cursor.execute(EFFECTIVE, [list(NAMES)])
        rows = cursor.fetchall()
    values = {name: value for _, name, value in rows}
    if not all(is_tcp for is_tcp, _, _ in rows):
        return None
    idle, interval, count, user_timeout = (values[name] for name in NAMES)
    if user_timeout:
        # Linux then goes by it instead of the count.
        return float(max(user_timeout / 1000, idle + interval))
    return float(idle + interval * count)
