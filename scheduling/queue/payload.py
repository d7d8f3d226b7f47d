"""The payload of a queue row: a signed django-q2 task."""

from datetime import UTC, datetime
from functools import cache
from secrets import token_hex
from typing import Any

from django.conf import settings
from django.core.signing import TimestampSigner, b64_encode
from django.utils.crypto import salted_hmac
from django.utils.encoding import force_bytes
from django_q.conf import Conf
from django_q.core_signing import loads
from django_q.signing import PickleSerializer, SignedPackage
from django_q.tasks import async_task


def read_payload(payload: str) -> dict[str, Any] | None:
    """Return the task in a payload signed with one of the site's keys; None without one."""
    for key in (Conf.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        if (task := _read(payload, key)) is not None:
            return task
    return None


def sign_anew(payload: str) -> str | None:
    """
    Return a payload as django-q2 reads it; None if it cannot be decoded.

    django-q2 knows `SECRET_KEY` alone; what was signed with a fallback is signed anew.
    """
    if _read(payload, Conf.SECRET_KEY) is not None:
        return payload
    task = read_payload(payload)
    return None if task is None else str(SignedPackage.dumps(task))


def _read(payload: str, key: str) -> dict[str, Any] | None:
    try:
        task = loads(payload, key=key, salt=Conf.PREFIX, serializer=PickleSerializer)
    except Exception:  # noqa: BLE001 (whatever unpickling raises: a moved module, a changed class)
        return None
    return task if isinstance(task, dict) else None


class CapturingBroker:
    """Takes the place of a broker, and keeps the payload that django-q2 builds for it."""

    def __init__(self, list_key: str) -> None:
        self.list_key = list_key
        self.payload = ""

    def enqueue(self, payload: str) -> str:
        """Keep the payload."""
        self.payload = payload
        return "captured"


def build_payload(func: str, *args: float | str, lane: str, name: str, **options: Any) -> str:
    """
    Return a payload that calls `func`.

    :param func: the dotted name of the function, which is imported when a worker runs it.
    :param name: what django-q2's history calls it, at most 100 characters.
    :param options: django-q2's task options.
    """
    return PayloadFactory(func, lane=lane, **options).build(*args, name=name)


@cache
def _example(func: str, lane: str, **options: Any) -> dict[str, Any]:
    captured = CapturingBroker(lane)
    # `ack_failure`: the row of a failed task is deleted, since the job itself is retried.
    async_task(func, q_options={"broker": captured, "ack_failure": True, **options})
    task: dict[str, Any] = SignedPackage.loads(captured.payload)
    return task


class _Signer(TimestampSigner):
    """Signs as Django does, but derives the key and reads the time only once."""

    def __init__(self, *, key: str, salt: str) -> None:
        super().__init__(key=key, salt=salt)
        self._keyed = salted_hmac(salt + "signer", b"", self.key, algorithm=self.algorithm)
        self._at = super().timestamp()

    def timestamp(self) -> str:
        return self._at

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        keyed = self._keyed.copy()
        keyed.update(force_bytes(value))
        return b64_encode(keyed.digest()).decode()


class PayloadFactory:
    """
    Builds payloads that call one function.

    Once a process django-q2 builds a task; the others are copies with their own id, name and
    arguments. That takes a third of the time.
    """

    def __init__(self, func: str, *, lane: str, **options: Any) -> None:
        self.task = _example(func, lane, **options)
        self.signer = _Signer(key=Conf.SECRET_KEY, salt=Conf.PREFIX)

    def build(self, *args: float | str, name: str) -> str:
        """Return a payload that calls the function with these arguments."""
        own = {"id": token_hex(16), "name": name[:100], "args": args, "started": datetime.now(UTC)}
        payload: str = self.signer.sign_object(
            {**self.task, **own}, serializer=PickleSerializer, compress=Conf.COMPRESSED
        )
        return payload
