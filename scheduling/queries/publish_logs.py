"""
Reading the publish log back from files: plain or JSON, gzipped or not, as collectors keep it.

Only what the logger of the publish log has written counts. A title or the text of an error may have
the same words, but then the line is another logger's, or indented below the first of its record.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from io import BufferedReader
from typing import IO, Any, NamedTuple, cast

from scheduling.models import publish_log, references
from scheduling.models.times import parse_moment

LOGGER = publish_log.logger.name
GZIP = b"\x1f\x8b"
# Of a longer line the rest is passed over: no line of the publish log is as long.
LONGEST_LINE = 64 * 1024
# What the tags of all its lines begin with.
TAG = "[publish-"

# What Armo's own formatter writes before each message: time, level and logger.
HEADER = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) "
)
# `publish_log.LINE`.
CHANGE = re.compile(
    rf"\[(?:{publish_log.WORKER}|{publish_log.BY_HAND})\]"
    rf" (\w+:{references.ID_PATTERN}) → (\w+) @(\S+)"
)
ITEM = re.compile(rf"\w+:{references.ID_PATTERN}")
STATUS = re.compile(r"\w+")
# What a collector puts before a line, such as time, host and process. A publish is never logged at
# another level than INFO.
PREFIX = re.compile(r"(?!\s)(?!.*\b(?:DEBUG|WARNING|ERROR|CRITICAL)\b).*(?:\S |\x1b\[0m)")
# In which fields of an object collectors keep a line.
WRAPPED = ("log", "MESSAGE", "message")
DECIMALS = re.compile(r"\.([0-9]+)")


class Logged(NamedTuple):
    """
    A change of what readers see, as a worker or web process has logged it.

    It happened at `at` or, of a time that was cut off to milliseconds, later, but before `until`.
    """

    item: str
    status: str
    at: datetime
    until: datetime
    file: str = ""
    line: int = 0


class Unreadable(NamedTuple):
    """A line of the publish log that cannot be read, such as one that was cut off."""

    file: str
    line: int


class Incomplete(NamedTuple):
    """A compressed file that ends too early, or is damaged; what follows is not known."""

    file: str
    line: int


def read(file: IO[bytes], name: str) -> Iterator[Logged | Unreadable | Incomplete]:
    """
    Read the lines of the publish log in a file; others are passed over.

    :param file: buffered.
    :param name: what to call the file.
    :raises OSError: it cannot be read.
    """
    is_gzip = cast(BufferedReader, file).peek(len(GZIP))[: len(GZIP)] == GZIP
    number = 0
    try:
        # Its caller closes the file.
        opened = gzip.GzipFile(fileobj=file) if is_gzip else file
        for number, line in enumerate(_lines(opened), start=1):
            text = line.decode(errors="replace").rstrip("\r\n")
            if LOGGER not in text and TAG not in text:
                continue
            try:
                found = _parse(text)
            except (ValueError, RecursionError):
                yield Unreadable(name, number)
                continue
            if found is not None:
                yield found._replace(file=name, line=number)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield Incomplete(name, number)


def _lines(file: Any) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _parse(text: str) -> Logged | None:
    """
    Return the change in a line; None if the line is not of the publish log.

    :raises ValueError: it is, but cannot be read.
    """
    before, bracket, after = text.partition("{")
    if bracket and _is_prefix(before):
        try:
            record = json.loads(bracket + after)
        except ValueError:
            if f'"{LOGGER}"' in text:
                raise
        else:
            return _of_record(record)
    return _of_line(text)


def _is_prefix(text: str) -> bool:
    return not text or bool(PREFIX.fullmatch(text) and not HEADER.search(text))


def _of_line(text: str) -> Logged | None:
    if header := HEADER.search(text):
        before, message = text[: header.start()], text[header.end() :]
        if header[2] != LOGGER:
            return None
    else:
        before, tag, after = text.partition(TAG)
        message = tag + after
    if not message or not _is_prefix(before):
        return None
    found = CHANGE.fullmatch(message)
    if found is None:
        raise ValueError
    return _logged(*found.groups())


def _of_record(record: Any) -> Logged | None:
    if not isinstance(record, Mapping):
        return None
    logger = record.get("logger", record.get("name"))
    if logger not in (None, LOGGER):
        return None
    facts = [record.get(name) for name in ("item", "status", "at")]
    if None not in facts and (logger or "lateness_ms" in record):
        item, status, at = facts
        if not (isinstance(item, str) and isinstance(status, str) and isinstance(at, str)):
            raise ValueError
        if not (ITEM.fullmatch(item) and STATUS.fullmatch(status)):
            raise ValueError
        return _logged(item, status, at)
    for name in WRAPPED:
        if isinstance(record.get(name), str):
            return _parse(record[name].rstrip("\r\n"))
    return None


def _logged(item: str, status: str, text: str) -> Logged:
    at = parse_moment(text)
    decimals = DECIMALS.search(text)
    is_cut_off = decimals is not None and len(decimals[1]) == len("123")
    return Logged(item, status, at, at + timedelta(microseconds=1000 if is_cut_off else 1))
