"""Web processes and a server that accepts no writes any more: a failed-over or fenced primary."""

from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, HttpResponseBase
from psycopg.errors import ReadOnlySqlTransaction


def leave_read_only_server(error: Exception) -> bool:
    """
    Close the connection if an error says that its server accepts no writes.

    Django keeps a connection that still answers, and each write of this process would fail for as
    long as that server is there. The next connection goes where writes are accepted, if the address
    leads there.

    :returns: whether it was such an error.
    """
    is_read_only = isinstance(error.__cause__, ReadOnlySqlTransaction)
    if is_read_only and not connection.in_atomic_block:
        connection.close()
    return is_read_only


class FailoverMiddleware:
    """Has a process whose write was refused connect anew; the API's error handler does the same."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Leave the answer to Django."""
        leave_read_only_server(exception)
