"""
The schema of the tables, and what several sites in one database must not share.

With `DATABASE_SCHEMA` each session of this site looks in that schema alone, so that no statement
names it. Behind a pooler sessions are shared: there the role has the setting, as for
`scheduling.keepalives`. Channels of NOTIFY and advisory locks have no schema: they are a whole
database's, so that each site has names and numbers of its own.
"""

from typing import Any
from zlib import crc32

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, connections

from scheduling import conf

FOUND = "SELECT current_schema(), to_regnamespace(%s) IS NOT NULL, current_user"
# Functions of the role in the schema that look for their tables elsewhere: they were moved.
STRAYS = r"""
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = to_regnamespace(%(schema)s) AND proowner = current_user::regrole
      AND EXISTS (
          SELECT FROM unnest(proconfig) AS setting
          WHERE setting LIKE 'search_path=%%' AND setting !~ ('\m' || %(schema)s || '\M'))
"""


def own_channel(name: str) -> str:
    """Return the site's channel of that name."""
    return f"{name}_{conf.DATABASE_SCHEMA}" if conf.DATABASE_SCHEMA else name


def own_key(key: int) -> int:
    """Return the site's key of advisory locks, from 0 to 2³¹-1, for one that all sites have."""
    if not conf.DATABASE_SCHEMA:
        return key
    return crc32(f"{key} {conf.DATABASE_SCHEMA}".encode()) % 2**31


def search_path() -> dict[str, str]:
    """Return the setting of a session, or of the role; nothing without `DATABASE_SCHEMA`."""
    return {"search_path": conf.DATABASE_SCHEMA} if conf.DATABASE_SCHEMA else {}


def find_problem() -> str | None:
    """Query whether this session, or a function, looks in another schema than `DATABASE_SCHEMA`."""
    wanted = conf.DATABASE_SCHEMA
    if not wanted:  # PostgreSQL 15 raises for an empty name; newer ones answer NULL
        return None
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(FOUND, [wanted])
        current, exists, role = cursor.fetchone()
    if current == wanted:
        return f"Functions were moved into {wanted}: run manage.py migrate." if _strays() else None
    if not exists:
        return (
            f'There is no schema {wanted}, DATABASE_SCHEMA. Have it made: CREATE SCHEMA "{wanted}"'
            f' AUTHORIZATION "{role}";'
        )
    return (
        f"DATABASE_SCHEMA is {wanted}, and the session looks in {current}. Behind a pooler, run"
        " manage.py keepalives --set, and have the pooler reconnect; otherwise let the role use"
        " the schema, and leave search_path out of DATABASE_URL."
    )


def _strays() -> list[str]:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(STRAYS, {"schema": conf.DATABASE_SCHEMA})
        return [name for [name] in cursor.fetchall()]


def create(using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """
    Create the schema before the first migration, if it is missing; else mend what was moved there.

    :raises ImproperlyConfigured: tables would be made elsewhere, or the role may not create it.
    """
    wanted = conf.DATABASE_SCHEMA
    if using != DEFAULT_DB_ALIAS or not wanted:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(FOUND, [wanted])
        if not cursor.fetchone()[1]:
            try:
                cursor.execute(f'CREATE SCHEMA "{wanted}"')  # it may be a word of SQL
            except ProgrammingError:
                raise ImproperlyConfigured(find_problem()) from None
        for function in _strays():
            cursor.execute(f'ALTER FUNCTION {function} SET search_path = "{wanted}"')
    if problem := find_problem():
        raise ImproperlyConfigured(problem)
