"""
Values of environment variables, each as what it has to be.

Whatever a variable must not be ends the start with one line that names it. A variable that is empty
counts as not set. What may hold a password or a key is not repeated.
"""

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

ON = ("1", "on", "true", "y", "yes", "ok")
OFF = ("0", "off", "false", "n", "no")
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# A name or an address, without a scheme or a port.
HOST = r"([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])"
PORT = r"(:[0-9]{1,5})?"
ALLOWED_HOST = re.compile(rf"\*|\.?{HOST}")
# Those that forms may come from; `*.` stands for all subdomains.
TRUSTED_ORIGIN = re.compile(rf"https?://(\*\.)?{HOST}{PORT}")
# Those whose pages may ask the API, also the pages of apps that have a scheme of their own.
ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://{HOST}{PORT}|null|file://")
TOKEN = re.compile(r"[!-~]{16,}")
MAIL_ADDRESS = re.compile(r"([^<>]*<)?[^\s@,;<>\"]+@[^\s@,;<>\"]+(?(1)>)")
RATE = re.compile(
    r"([1-9][0-9]{0,6})/([1-9][0-9]{0,4})?((s)(ec(ond)?)?|(m)(in(ute)?)?|(h)(our)?|(d)(ay)?)s?"
)


def refusal(name: str, must: str, value: str | None = None) -> ImproperlyConfigured:
    """Return the error of a variable; without a value where that may be a secret."""
    shown = "" if value is None else f", not {value if len(value) <= 60 else value[:60] + '…'!r}"
    return ImproperlyConfigured(f"{name} must be {must}{shown}.")


def read_file(path: Path) -> None:
    """
    Take variables from a file, if there is one; what the process has already goes first.

    :raises ImproperlyConfigured: it is not in UTF-8.
    """
    try:
        environ.Env.read_env(path)
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{path.name} must be in UTF-8.") from None


def given(name: str) -> str:
    """Return the value of a variable without blanks around it; empty if it is not set."""
    return os.environ.get(name, "").strip()


def text(name: str, *, default: str, must: str, is_valid: Callable[[str], Any]) -> str:
    """Return the value of a variable of which not every text will do."""
    value = given(name)
    if value and not is_valid(value):
        raise refusal(name, must, value)
    return value or default


def choice(name: str, *, default: str, among: Iterable[str]) -> str:
    """Return the value of a variable, one of few; capitals do not count."""
    names = list(among)
    found = {it.lower(): it for it in names}.get((given(name) or default).lower())
    if found is None:
        raise refusal(name, f"{', '.join(names[:-1])} or {names[-1]}", given(name))
    return found


def switch(name: str, *, default: bool) -> bool:
    """Return whether a variable is on: a slip must not switch off what protects a site."""
    value = given(name)
    if value.lower() in (*ON, *OFF):
        return value.lower() in ON
    if value:
        raise refusal(name, "on or off", value)
    return default


def whole_number(name: str, *, default: int, least: int, most: int) -> int:
    """Return the number that a variable has, within limits."""
    value = given(name)
    if not value:
        return default
    return _number_of(name, value, f"a whole number from {least} to {most}", least, most)


def whole_numbers(name: str, *, default: list[int], least: int, most: int) -> list[int]:
    """Return the numbers of a variable, which commas separate; none if it is set to nothing."""
    if name not in os.environ:
        return default
    must = f"whole numbers from {least} to {most} with commas between them"
    return [_number_of(name, value, must, least, most) for value in listed(name)]


def _number_of(name: str, value: str, must: str, least: int, most: int) -> int:
    # Not int() alone: it takes "1_0" and the digits of every script.
    if re.fullmatch(r"[0-9]{1,10}", value) and least <= int(value) <= most:
        return int(value)
    raise refusal(name, must, value)


def listed(
    name: str, *, must: str = "", is_valid: Callable[[str], Any] = lambda _value: True
) -> list[str]:
    """Return the values of a variable, which commas separate; blanks around them do not count."""
    values = [value.strip() for value in given(name).split(",") if value.strip()]
    for value in values:
        if not is_valid(value):
            raise refusal(name, must, value)
    return values


def rate(name: str, *, default: str) -> str | None:
    """Return how often something may happen, as `10/m`; None for `off`."""
    must = "a number a second, minute, hour or day, such as 10/min, or off"
    parts = _parts_of_rate(name, default, must)
    if parts is None:
        return None
    count, units, unit = parts
    if units != 1:
        raise refusal(name, must, given(name))
    return f"{count}/{unit}"


def rate_in_time(name: str, *, default: str) -> tuple[int, timedelta] | None:
    """Return how often something may happen in which time, of `10/15min`; None for `off`."""
    parts = _parts_of_rate(name, default, "a number in a time, such as 10/15min, or off")
    if parts is None:
        return None
    count, units, unit = parts
    return count, units * timedelta(seconds=UNIT_SECONDS[unit])


def _parts_of_rate(name: str, default: str, must: str) -> tuple[int, int, str] | None:
    value = (given(name) or default).lower()
    if value == "off":
        return None
    found = RATE.fullmatch(value)
    if found is None:
        raise refusal(name, must, given(name))
    return int(found[1]), int(found[2] or 1), found[3][0]


def is_address_of_site(value: str) -> bool:
    """Return whether a value is the address of a site, with or without a path."""
    return bool(re.fullmatch(r"https?://[^\s/?#@,]+(/[^\s?#]*)?", value)) and _has_port(value)


def is_report_address(value: str) -> bool:
    """Return whether a value is one address within a directive of a Content-Security-Policy."""
    return value.isascii() and value.isprintable() and not set(value) & set(" ;,")


def is_mail_address(value: str) -> bool:
    """Return whether a value is one address of mail, with or without a name before it."""
    return value.isprintable() and MAIL_ADDRESS.fullmatch(value) is not None


def mail_server(name: str, *, default: str) -> dict[str, Any]:
    """
    Return the settings of the mail server that an address names.

    Without a host the server would be taken to be this host, and fail at the first mail.
    """
    must = "an address such as smtp+tls://user:password@mail.example.org:587"
    url = given(name) or default
    try:
        config: dict[str, Any] = environ.Env.email_url_config(url)
    except (ImproperlyConfigured, ValueError):
        raise refusal(name, must) from None
    if url.startswith("smtp") and not config["EMAIL_HOST"]:
        raise refusal(name, must)
    if url.startswith("filemail") and not config["EMAIL_FILE_PATH"]:
        raise refusal(name, "an address such as filemail:///var/spool/armo")
    return config


def cache(name: str, *, default: str) -> dict[str, Any]:
    """Return the settings of the cache that an address names, once its package is found."""
    url = given(name) or default
    try:
        hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
        if not all(_has_port(f"//{host}") for host in hosts):
            raise ValueError(url)
        config: dict[str, Any] = environ.Env.cache_url_config(url)
        backend = import_string(config["BACKEND"])
        if "Redis" in backend.__name__:
            import_module("redis")  # the others import theirs at once
        backend(config["LOCATION"], {})
    except ImportError as error:
        raise ImproperlyConfigured(f"{name} cannot be used: {error}.") from None
    except (ImproperlyConfigured, ValueError):
        raise refusal(name, "an address such as rediscache://127.0.0.1:6379/1") from None
    return config


def _has_port(address: str) -> bool:
    """Return whether the port of an address is a number of one, if it has any."""
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False
