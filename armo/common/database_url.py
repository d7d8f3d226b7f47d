"""
DATABASE_URL: a PostgreSQL server, or several of which one accepts writes.

django-environ reads the address. Hosts and ports are read by libpq, which connects to them: where
only some hosts have a port, or one is an IPv6 address, django-environ mixes them up.
"""

from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

EXAMPLE = "postgres://user:password@host:5432/armo"
SESSION_ATTRS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
NUMBERS = {
    "connect_timeout": "seconds",
    "keepalives_idle": "seconds",
    "keepalives_interval": "seconds",
    "keepalives_count": "probes",
    "tcp_user_timeout": "milliseconds",
}
# Options of Django and psycopg, which libpq does not know.
# Not `pool`: Django's takes no connections that last, and a worker's have to.
NOT_OF_LIBPQ = {"assume_role", "isolation_level", "prepare_threshold", "server_side_binding"}

# How long to wait for a host that does not answer; by Django's settings, unless there are several.
CONNECT_SECONDS = 5
# For each of several: a dead first one delays every connection. psycopg waits no less than this.
CONNECT_SECONDS_PER_HOST = 2
LAST_PORT = 65_535
LARGEST_NUMBER = 2**31 - 1

UNESCAPED = "in a password or an option the signs / ? # @ must be written %2F %3F %23 %40"
NO_PORT = f"a port is no number from 1 to {LAST_PORT}"


def parse(url: str) -> dict[str, Any]:
    """
    Return Django's DATABASES entry.

    With several hosts a connection goes to the first that accepts writes, unless the address says
    otherwise.

    :raises ImproperlyConfigured: in one line, without the address, which may hold a password.
    """
    if "postgres" not in environ.Env.DB_SCHEMES.get(url.partition("://")[0], ""):
        raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL server.")
    try:
        address = urlsplit(url)
        if "@" not in address.netloc and "@" in url:
            # What follows the first colon would be read as a port, and be named.
            raise _malformed(UNESCAPED)
        config: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        raise _malformed(NO_PORT if "port" in str(error).lower() else str(error)) from None
    options = config.setdefault("OPTIONS", {})
    hosts = address.netloc.rpartition("@")[2]
    if hosts:
        config |= _read_hosts(hosts)
    names = [str(options.get("host") or config["HOST"]), str(options.get("port") or config["PORT"])]
    number = _check_hosts(*names)
    if not config["NAME"] and not {"dbname", "service"} & set(options):
        raise _malformed("the name of the database is missing")
    if number > 1:
        options.setdefault("target_session_attrs", "read-write")
        options.setdefault("connect_timeout", CONNECT_SECONDS_PER_HOST)
    _check_options(options)
    return config


def _read_hosts(hosts: str) -> dict[str, str]:
    try:
        found = conninfo_to_dict(f"postgresql://{hosts}/")
    except ProgrammingError as error:
        raise _malformed(f"in {hosts}, {str(error).partition(' in URI')[0].strip()}") from error
    port = str(found.get("port", ""))
    # libpq takes an empty one of several for its default.
    return {"HOST": str(found.get("host", "")), "PORT": port if port.strip(",") else ""}


def _check_hosts(host: str, port: str) -> int:
    """Return how many hosts there are."""
    hosts, ports = host.split(","), port.split(",")
    if len(hosts) > 1 and not all(hosts):
        raise _malformed("a host is missing beside a comma")
    if len(ports) not in (1, len(hosts)):
        raise _malformed(f"there are {len(hosts)} hosts and {len(ports)} ports")
    for number in ports:
        if number and not (number.isascii() and number.isdigit() and 0 < int(number) <= LAST_PORT):
            raise _malformed(NO_PORT)
    return len(hosts)


def _check_options(options: dict[str, Any]) -> None:
    for name, values in (("target_session_attrs", SESSION_ATTRS), ("sslmode", SSL_MODES)):
        if options.get(name, values[0]) not in values:
            raise _malformed(f"{name} is one of {', '.join(values)}, not {options[name]}")
    for name, unit in NUMBERS.items():
        number = options.get(name, 0)
        if not isinstance(number, int) or not 0 <= number <= LARGEST_NUMBER:
            raise _malformed(f"{name} is a number of {unit}, not {number}")
    try:
        make_conninfo(**{name: it for name, it in options.items() if name not in NOT_OF_LIBPQ})
    except ProgrammingError as error:
        raise _malformed(str(error).strip()) from error


def _malformed(why: str) -> ImproperlyConfigured:
    why = " ".join(why.split())
    return ImproperlyConfigured(f"DATABASE_URL cannot be used: {why}. Write it as {EXAMPLE}.")
