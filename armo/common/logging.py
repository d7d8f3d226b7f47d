"""How log lines look: for a terminal, or one JSON object a line for a collector."""

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

# They join signs of some scripts and of emoji, and do nothing else.
JOINERS = "\u200c\u200d"
# Links that open something to whoever has them: what follows is a secret.
LINKS = "((?<=/preview/)|(?<=/feeds/schedule/))"
SECRETS = re.compile(rf"{LINKS}.+|\?.*", re.DOTALL | re.IGNORECASE)
SECRETS_IN_TEXT = re.compile(rf"{LINKS}[^\s'\"]+", re.IGNORECASE)
# Set by the publish log on a record that is followed at once by another of the same batch.
MORE = "more_follow"
# What every LogRecord carries; whatever else it has was given as `extra`.
STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    # Django's own request, whose text has the path: that of a link is a secret.
    *("message", "asctime", "taskName", "request", MORE)
}


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, those of one batch together."""

    def __init__(self) -> None:
        # `sys.stderr` is flushed at the end of every line.
        stream = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        super().__init__(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and flush unless more follow."""
        try:
            self.stream.write(self.format(record) + self.terminator)
            if not getattr(record, MORE, False):
                self.stream.flush()
        except Exception:  # noqa: BLE001 (as in every handler: logging must not fail)
            self.handleError(record)


class Refusals(logging.Filter):
    """
    Have a request that was refused, 4xx, raise no alarm: it is its sender's error.

    What only repeats its line of the access log is at DEBUG, also that a health route has answered
    503: that is for the monitor to report. Other reasons, as of CSRF, are one line at INFO.
    """

    REPEATING = ("django.request", "django.security.DisallowedHost")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be written."""
        status = getattr(record, "status_code", None)
        if status is None:
            return True
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_secrets(it) if isinstance(it, str) else it for it in record.args
            )
        path = getattr(getattr(record, "request", None), "path_info", "")
        if not (400 <= status < 500 or (status == 503 and path.startswith("/health/"))):
            return True
        level = logging.DEBUG if record.name in self.REPEATING else logging.INFO
        record.levelno, record.levelname = level, logging.getLevelName(level)
        record.exc_info = record.exc_text = None
        return logging.getLogger(record.name).isEnabledFor(level)


def without_secrets(address: str) -> str:
    """Return a path, or an address, without the secret of a link, and without its query."""
    return SECRETS.sub("", address)


def without_secrets_in_text(text: str) -> str:
    """Return a text, such as an error's, with … in the place of each link's secret."""
    return SECRETS_IN_TEXT.sub("…", text)


def record_time(record: logging.LogRecord) -> str:
    """Return when the record was made, in UTC to the millisecond."""
    return _iso(int(record.created * 1000) / 1000)


@lru_cache(maxsize=128)
def _iso(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ConsoleFormatter(logging.Formatter):
    r"""
    Time, level, logger and message; the facts of `extra` are already in the message.

    Further lines of a record are indented: the text of an error, which may be anyone's, cannot look
    like a record of its own. What a terminal would act on is shown as in Python, `\x1b`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, with a traceback below it."""
        lines = super().format(record).split("\n")
        return "\n  ".join(_escaped(line, lambda sign: ascii(sign)[1:-1]) for line in lines)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the time in UTC, whatever the zone of the machine."""
        return record_time(record)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and every fact given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": record_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in STANDARD_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        # JSON itself leaves escapes of eight bits, line separators and turned directions alone.
        return _escaped(text, lambda sign: json.dumps(sign)[1:-1])


def _escaped(line: str, escape: Callable[[str], str]) -> str:
    """Return a line with only such signs as can be seen, and those that join them."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() or sign in JOINERS else escape(sign) for sign in line)
