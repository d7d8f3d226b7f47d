"""
The id of a request, which goes with whatever the request asks for, up to the publish.

Middleware of the site sets it. Where nobody does, as in a command, it is empty.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

# Visible ASCII: it stands in log lines, in headers and on terminals.
SANE = re.compile(r"[!-~]{1,128}")

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Return the id of the present request, or of the one that the running job was asked for by."""
    return _request_id.get()


def new_request_id() -> str:
    """Return an id for a request that has brought none that can be taken: 32 hex digits."""
    return uuid4().hex


@contextmanager
def of_request(id: str) -> Iterator[None]:
    """
    Work for the request with that id within the block.

    :param id: as `SANE`, or empty.
    """
    token = _request_id.set(id)
    try:
        yield
    finally:
        _request_id.reset(token)


class RequestIdFilter(logging.Filter):
    """Gives each log record the id of the present request, as `request_id`; drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id where there is one, and the record has none of its own."""
        if (id := _request_id.get()) and not hasattr(record, "request_id"):
            record.request_id = id
        return True
