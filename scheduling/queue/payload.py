"""The payload of a queue row: a task of django-q2, signed."""

from datetime import UTC, datetime
from functools import cache
from secrets import token_hex
from typing import Any

from django.core.signing import TimestampSigner, b64_encode
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes
from django_q.conf import Conf
from django_q.signing import PickleSerializer, SignedPackage
from django_q.tasks import async_task


def read_payload(payload: str) -> dict[str, Any] | None:
    """Return the task that a message holds; None when it cannot be decoded (any more)."""
    try:
        task = SignedPackage.loads(payload)
    except Exception:  # noqa: BLE001 (whatever unpickling raises: a moved module, a changed class)
        return None
    return task if isinstance(task, dict) else None


class CapturingBroker:
    """Stands in for a broker while django-q2 builds a message, and keeps the message."""

    def __init__(self, list_key: str) -> None:
        self.list_key = list_key
        self.payload = ""

    def enqueue(self, payload: str) -> str:
        """Keep the message instead of queueing it."""
        self.payload = payload
        return "sealed"


def build_payload(func: str, *args: float | str, lane: str, name: str, **options: Any) -> str:
    """
    Return a message that calls `func`, without queueing it.

    :param func: the dotted name of the function; code may have moved when the message arrives.
    :param name: what django-q2's history calls it, at most 100 characters.
    :param options: django-q2's task options.
    """
    return PayloadFactory(func, lane=lane, **options).build(*args, name=name)


@cache
def _example(func: str, lane: str, **options: Any) -> dict[str, Any]:
    """Return a task that django-q2 itself has made."""
    captured = CapturingBroker(lane)
    # Retries are ours: a failed message is done with, its job decides what comes next.
    async_task(func, q_options={"broker": captured, "ack_failure": True, **options})
    task: dict[str, Any] = SignedPackage.loads(captured.payload)
    return task


class _Signer(TimestampSigner):
    """Signs as Django does; works out only once what is the same for all: the key, and the time."""

    def __init__(self, *, key: str, salt: str) -> None:
        super().__init__(key=key, salt=salt)
        self._keyed = salted_hmac(salt + "signer", b"", self.key, algorithm=self.algorithm)
        self._at = super().timestamp()

    def timestamp(self) -> str:
        """Return when the first was signed."""
        return self._at

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        """Return the signature of a value."""
        keyed = self._keyed.copy()
        keyed.update(force_bytes(value))
        return b64_encode(keyed.digest()).decode()


class PayloadFactory:
    """
    Makes messages that call one function.

    django-q2 makes one of them for each process; the others differ in what is theirs alone, which
    takes a third of the time.
    """

    def __init__(self, func: str, *, lane: str, **options: Any) -> None:
        self.task = _example(func, lane, **options)
        self.signer = _Signer(key=Conf.SECRET_KEY, salt=Conf.PREFIX)

    def build(self, *args: float | str, name: str) -> str:
        """Return a message, signed as django-q2 signs."""
        own = {"id": token_hex(16), "name": name[:100], "args": args, "started": datetime.now(UTC)}
        sealed: str = self.signer.sign_object(
            {**self.task, **own}, serializer=PickleSerializer, compress=Conf.COMPRESSED
        )
        return sealed
