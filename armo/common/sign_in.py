"""
How often a password may be tried, at every place that asks for one.

Failures are counted by `django-axes`, in its table: a row for each account and network. Its own
handler counts a failure after the password was checked, so of many requests at once all are
checked. This one counts an attempt before, in a transaction of its own, and takes it back when the
password was right (ADR 34).
"""

# mypy: disallow-subclassing-any=false

import logging
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_address
from math import ceil
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib import admin, auth
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import CheckMessage, Tags, Warning, register
from django.core.management import CommandError
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from armo.common.clients import address_of, network_around

# Of a network all accounts together may fail so many times as often as one; of an account, all
# networks together. The second does not hold where its owner has signed in lately: otherwise
# whoever knows a name could lock its owner out for ever.
NETWORK_FACTOR = 5
ACCOUNT_FACTOR = 10
KNOWN_FOR = timedelta(days=90)

LOCK_TIMEOUT_SECONDS = 5

# Longer than the name of any user.
ACCOUNT_LENGTH = 255

logger = logging.getLogger("armo.sign_in")


def account_of(username: object) -> str:
    """Return the name that an account is counted and logged by: printable, and cut."""
    name = unicodedata.normalize("NFKC", str(username or "")[:ACCOUNT_LENGTH])
    # What is not printable could forge a line of the log, or write on a terminal.
    shown = "".join(it if it.isprintable() else ascii(it)[1:-1] for it in name)
    return shown[:ACCOUNT_LENGTH]


def authenticate(request: HttpRequest, *, username: str, password: str) -> AbstractBaseUser | None:
    """Return the user with that name and password; None when they are wrong, or it is locked."""
    user = auth.authenticate(request, username=username, password=password)
    if user is not None:
        AxesProxyHandler.user_logged_in(auth.get_user_model(), request=request, user=user)
    return user


def seconds_locked(request: HttpRequest) -> int:
    """Return for how many seconds the request's attempt was refused; 0 if it was not."""
    return getattr(request, "sign_in_seconds_locked", 0)


def locked_answer(
    request: HttpRequest, response: HttpResponse, credentials: object = None
) -> HttpResponse:
    """Return the page for an attempt that was refused; the API's views answer by themselves."""
    if response.status_code == 429:
        return response
    seconds = seconds_locked(request)
    context = {**admin.site.each_context(request), "minutes": ceil(seconds / 60)}
    answer = render(request, "admin/locked.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    add_never_cache_headers(answer)
    return answer


class LockoutBackend(AxesStandaloneBackend):
    """Refuses attempts on what is locked, before their password is checked."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """
        Count the attempt, if it is one at a password.

        Without a request, as in a shell, there is nothing to count it by.

        :raises PermissionDenied: the account or the network is locked.
        """
        if request is not None and "password" in credentials:
            super().authenticate(request, **credentials)


class CountingHandler(AxesDatabaseHandler):
    """Counts attempts before their password is checked, by account and by network."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Count an attempt, and return whether its password may be checked."""
        if not settings.AXES_LOCK_OUT_AT_FAILURE:
            return True
        account = account_of((credentials or {}).get("username"))
        network = request.axes_ip_address
        # Not inside another transaction: what that rolls back would not be counted.
        with transaction.atomic(durable=True):
            _lock(f"account {account}", f"network {network}")
            seconds = _seconds_to_wait(account, network)
            if not seconds:
                _count(account, network)
        request.sign_in_seconds_locked = seconds
        return not seconds

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        """Log the failure; it was counted before."""
        account = account_of(credentials.get("username"))
        address = address_of(request) if request else None
        seconds = seconds_locked(request) if request else 0
        logger.warning(
            "Sign-in refused from %s for '%s', locked for %s s"
            if seconds
            else "Sign-in failed from %s for '%s'",
            *(address or "unknown", account, *([seconds] if seconds else [])),
            extra={
                "address": str(address or ""),
                "account": account,
                "path": request.path if request else "",
                "locked_seconds": seconds,
            },
        )

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Forget the failures of the account from this network, and remember the network."""
        if request is None or "REMOTE_ADDR" not in request.META:
            return  # nobody has signed in: a program has made a session
        account, network = account_of(user.get_username()), request.axes_ip_address
        AccessAttempt.objects.filter(username=account, ip_address=network).delete()
        known = AccessLog.objects.filter(username=account, ip_address=network)
        if not known.update(attempt_time=Now()):
            AccessLog.objects.create(username=account, ip_address=network)
        AccessLog.objects.filter(attempt_time__lt=Now() - KNOWN_FOR).delete()

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Do nothing: when somebody has signed out is no matter here."""

    def reset_attempts(
        self,
        *,
        ip_address: str | None = None,
        username: str | None = None,
        ip_or_username: bool = False,
    ) -> int:
        """Unlock an account, the network of an address, or both together; without either, all."""
        count: int = super().reset_attempts(
            ip_address=ip_address and _network_around(ip_address),
            username=username and account_of(username),
            ip_or_username=ip_or_username,
        )
        return count


@register(Tags.security, "logins", deploy=True)
def check_addresses(**kwargs: Any) -> list[CheckMessage]:
    """Return whether sign-ins came lately from clients whose address cannot be known."""
    lately = {"ip_address": None, "attempt_time__gt": Now() - timedelta(days=1)}
    try:
        unknown = any(it.objects.filter(**lately).exists() for it in (AccessAttempt, AccessLog))
    except DatabaseError:
        # Where an image is built there is none, or it is not migrated yet.
        return []
    if not unknown:
        return []
    return [
        Warning(
            f"Sign-ins come through proxies that do not agree with PROXIES={settings.PROXIES}."
            " Their clients are not known, and failures not limited by network.",
            hint="Set PROXIES to the number of proxies in front; each must set X-Forwarded-For.",
            id="armo.W001",
        )
    ]


def _network_around(text: str) -> str:
    try:
        return str(network_around(ip_address(text)))
    except ValueError as error:
        raise CommandError(f"{text} is not an IP address.") from error


def _lock(*names: str) -> None:
    """
    Wait until no other transaction counts by one of these names.

    :raises OperationalError: one is held for `LOCK_TIMEOUT_SECONDS`; others hold it for moments.
    """
    # In one order, so that no two wait for each other.
    locks = ", ".join("pg_advisory_xact_lock(hashtextextended(%s, 0))" for _name in names)
    # Of this site's tables, where others have theirs in the same database.
    names = tuple(f"{settings.DATABASE_SCHEMA} {it}".lstrip() for it in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT set_config('lock_timeout', %s, true), {locks}",
            [f"{LOCK_TIMEOUT_SECONDS}s", *sorted(names)],
        )


def _seconds_to_wait(account: str, network: str | None) -> int:
    """Return for how many seconds attempts on the account, from the network, are refused."""
    here = Q(username=account) if network is None else Q(username=account) | Q(ip_address=network)
    rows = list(
        AccessAttempt.objects.filter(here, attempt_time__gt=Now() - settings.AXES_COOLOFF_TIME)
        .annotate(age=Now() - F("attempt_time"))
        .order_by("-attempt_time")
        .values_list("username", "ip_address", "failures_since_start", "age")
    )
    of_account = [row for row in rows if row[0] == account]
    limit = settings.AXES_FAILURE_LIMIT
    waits = [_seconds_until_below(limit, (row for row in of_account if row[1] == network))]
    if network is not None:
        of_network = (row for row in rows if row[1] == network)
        waits.append(_seconds_until_below(limit * NETWORK_FACTOR, of_network))
    known = AccessLog.objects.filter(
        username=account, ip_address=network, attempt_time__gt=Now() - KNOWN_FOR
    )
    wait = _seconds_until_below(limit * ACCOUNT_FACTOR, of_account)
    if wait and not (network and known.exists()):
        waits.append(wait)
    return max(waits)


def _seconds_until_below(limit: int, rows: Iterable[tuple[str, str, int, timedelta]]) -> int:
    """Return when there will be fewer failures than the limit, of rows with the newest first."""
    failures = 0
    for _account, _network, failures_since_start, age in rows:
        failures += failures_since_start
        if failures >= limit:
            left: timedelta = settings.AXES_COOLOFF_TIME - age
            return max(1, ceil(left.total_seconds()))
    return 0


def _count(account: str, network: str | None) -> None:
    """Count an attempt, and delete the rows whose time is over."""
    with connection.cursor() as cursor:
        # Those that another request deletes at this moment are skipped.
        cursor.execute(
            "DELETE FROM axes_accessattempt WHERE id IN (SELECT id FROM axes_accessattempt"
            " WHERE attempt_time <= statement_timestamp() - make_interval(secs => %s)"
            " FOR UPDATE SKIP LOCKED)",
            [settings.AXES_COOLOFF_TIME.total_seconds()],
        )
    row = AccessAttempt.objects.filter(username=account, ip_address=network)
    change = {"failures_since_start": F("failures_since_start") + 1, "attempt_time": Now()}
    # An upsert would use up a number of the key's sequence at each attempt.
    if not row.update(**change):
        AccessAttempt.objects.create(username=account, ip_address=network, failures_since_start=0)
        row.update(**change)
