"""Waiting for a database that cannot be reached for a while."""

import logging
from collections.abc import Callable

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from scheduling.queue.outages import first_line, retry_while_disconnected
from tests.factories import StoryFactory


def failing_with(*errors: Exception) -> Callable[[], str]:
    """Return work that fails once with each error, then is done."""
    left = iter(errors)

    def work() -> str:
        for error in left:
            raise error
        return "done"

    return work


@pytest.mark.django_db(transaction=True)
class TestWork:
    def test_is_repeated_until_the_database_can_be_reached(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        dropped: list[bool] = []

        with caplog.at_level(logging.WARNING, "scheduling.queue.outages"):
            answer = retry_while_disconnected(
                failing_with(OperationalError("away\nHINT: later"), InterfaceError("closed")),
                disconnect=lambda: dropped.append(True),
            )

        assert answer == "done"
        assert dropped == [True, True]
        assert caplog.messages == [
            "The database cannot be used: away",
            "The database cannot be used: closed",
        ]

    def test_is_repeated_on_a_new_connection_when_the_server_accepts_no_writes(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")

        answer = retry_while_disconnected(StoryFactory)

        assert answer.pk
        assert "cannot execute INSERT in a read-only transaction" in caplog.text

    def test_is_not_repeated_for_longer_than_it_may_take(self) -> None:
        with pytest.raises(OperationalError, match="away"):
            retry_while_disconnected(failing_with(OperationalError("away")), seconds=-1)

    def test_is_not_repeated_inside_a_transaction_which_is_lost(self) -> None:
        with transaction.atomic(), pytest.raises(OperationalError, match="away"):
            retry_while_disconnected(failing_with(OperationalError("away")))

    def test_is_not_repeated_after_an_error_of_its_own(self) -> None:
        with pytest.raises(DatabaseError, match="wrong"):
            retry_while_disconnected(failing_with(DatabaseError("wrong")))


def test_the_first_line_of_an_error_has_no_hints() -> None:
    assert first_line(OperationalError("\nno route\nIs it running?")) == "no route"
