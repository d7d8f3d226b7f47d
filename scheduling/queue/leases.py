"""
Which owners of claims live.

An owner is one cluster of a worker. With a session of its own it holds an advisory lock, which
PostgreSQL releases as soon as the session ends. Behind a pooler no session is its own: there it has
a lease, a row that its pusher renews every few seconds.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connections, transaction
from django_q.conf import Conf

from scheduling.queue.sql_files import read_statements
from scheduling.schemas import own_key

# The first key of the advisory lock that each owner holds; the second is the owner's number.
OWNER_LOCK = own_key(0x41726D6F)
# How long a lease lasts, how often it is renewed, and after how long without that others may have
# lost theirs for the same reason.
LEASE_SECONDS = 12.0
RENEW_SECONDS = 4.0
LATE_SECONDS = 2 * RENEW_SECONDS

SQL = read_statements(__name__)


def is_alive(owner: str, *, may_be_late: str = "false") -> str:
    """
    Return the condition that an owner lives.

    :param owner: its number, an SQL expression.
    :param may_be_late: the condition that a lease counts though it has run out.
    """
    return SQL["is_alive"].format(lock=OWNER_LOCK, owner=owner, may_be_late=may_be_late)


def is_owner_alive(owner: int) -> bool:
    """Query whether an owner lives."""
    with connections[Conf.ORM].cursor() as cursor:
        cursor.execute(f"SELECT {is_alive('%(owner)s')}", {"owner": owner})
        return bool(cursor.fetchone()[0])


def count_owners() -> int:
    """Query how many owners live, of any lane; 0 when no worker runs."""
    with connections[Conf.ORM].cursor() as cursor:
        cursor.execute(SQL["count"].format(lock=OWNER_LOCK))
        return int(cursor.fetchone()[0])


def renew(owner: int) -> None:
    """
    Give an owner a lease from now on.

    :raises django.db.OperationalError: the lease, or the table, is locked.
    """
    _change(SQL["renew"], {"owner": owner, "seconds": LEASE_SECONDS})


def end(owners: Iterable[int]) -> None:
    """
    End the leases of owners that are gone.

    :raises django.db.OperationalError: the table is locked.
    """
    _change(SQL["end"], {"owners": list(owners)})


def _change(statement: str, params: Mapping[str, Any]) -> None:
    # The session is others' too, and a setting the transaction's.
    with transaction.atomic(using=Conf.ORM), connections[Conf.ORM].cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{RENEW_SECONDS}s'")
        cursor.execute(statement, params)
