"""Queue rows: enqueued for a time, in the caller's transaction, and deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from scheduling.models.task_names import RUN_JOB
from scheduling.queue import messages
from tests.factories import FAR_OFF, LONG_AGO

pytestmark = pytest.mark.django_db


class TestEnqueue:
    @pytest.mark.parametrize(
        "at",
        [FAR_OFF, LONG_AGO, datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
        ids=["future", "past", "the last there is"],
    )
    def test_locks_the_message_until_that_very_microsecond(self, at: datetime) -> None:
        message_id = messages.enqueue(job_id=7, at=at, lane="publish", func=RUN_JOB)

        message = OrmQ.objects.get(pk=message_id)
        assert (message.key, message.lock) == ("publish", at)

    def test_calls_the_task_with_the_job(self) -> None:
        messages.enqueue(job_id=7, at=FAR_OFF, lane="publish", func=RUN_JOB)

        task = SignedPackage.loads(OrmQ.objects.get().payload)
        assert (task["func"], task["args"]) == ("scheduling.tasks.run_job", (7,))
        assert task["name"] == "job 7"

    def test_joins_the_transaction_of_the_caller(self) -> None:
        with transaction.atomic():
            messages.enqueue(job_id=7, at=FAR_OFF, lane="publish", func=RUN_JOB)
            inside = OrmQ.objects.count()
            transaction.set_rollback(True)

        assert (inside, OrmQ.objects.count()) == (1, 0)


class TestEnqueueMany:
    def test_returns_the_ids_in_the_order_given_whatever_the_times(self) -> None:
        times = [FAR_OFF - timedelta(days=(n * 7919) % 1000) for n in range(500)]

        ids = messages.enqueue_many(
            [messages.Wake(number, at, "publish", RUN_JOB) for number, at in enumerate(times)]
        )

        rows = OrmQ.objects.in_bulk(ids)
        assert [rows[pk].lock for pk in ids] == times
        tasks = [SignedPackage.loads(rows[pk].payload) for pk in ids]
        assert [task["args"] for task in tasks] == [(number,) for number in range(500)]

    def test_of_nothing_puts_nothing(self) -> None:
        assert messages.enqueue_many([]) == []
        assert not OrmQ.objects.exists()


class TestDelete:
    def test_removes_those_messages_and_no_others(self) -> None:
        ids = messages.enqueue_many(
            [messages.Wake(n, FAR_OFF, "publish", RUN_JOB) for n in range(4)]
        )

        messages.delete_rows(ids[1:3])

        assert set(OrmQ.objects.values_list("pk", flat=True)) == {ids[0], ids[3]}

    def test_ignores_what_is_gone_and_what_never_was(self) -> None:
        [message_id] = messages.enqueue_many([messages.Wake(1, FAR_OFF, "publish", RUN_JOB)])
        messages.delete_rows([message_id])

        messages.delete_rows([message_id, None, 2**62])

        assert not OrmQ.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_leaves_what_is_locked(self, other: BaseDatabaseWrapper) -> None:
        held, free = messages.enqueue_many(
            [messages.Wake(n, FAR_OFF, "publish", RUN_JOB) for n in range(2)]
        )
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq WHERE id = %s FOR UPDATE", [held])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")

            messages.delete_rows([held, free])

        assert list(OrmQ.objects.values_list("pk", flat=True)) == [held]


class TestPutBack:
    @pytest.mark.django_db(transaction=True)
    def test_leaves_a_row_that_is_locked(self, other: BaseDatabaseWrapper) -> None:
        message_id = messages.enqueue(job_id=7, at=FAR_OFF, lane="publish", func=RUN_JOB)
        with other.cursor() as cursor:
            cursor.execute("SELECT FROM django_q_ormq FOR UPDATE")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")

            assert messages.put_back(message_id) is None

        assert OrmQ.objects.get().lock == FAR_OFF
