"""
Repeated requests: a POST with an `Idempotency-Key` is carried out once, however often it comes.

A program that lost the answer cannot know whether its request was carried out. With a key it sends
the same request again and gets the first answer, with `Idempotency-Replayed: true`. The key is
stored in the transaction of the request, so neither exists without the other; a repetition that
comes meanwhile waits for the lock on the key's row. Only what was done is stored. A refusal or a
failure has changed nothing, and what stood in the way may be gone (the status, a right, the version
of `If-Match`, the database): the next request with the key is a first one.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from armo.common.api.models import ApiKey, KeptAnswer

KEPT_FOR = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 100
KEY = re.compile("[!-~]{1,255}")
KEPT_HEADERS = ("Cache-Control", "ETag", "Last-Modified", "Location")


class IdempotencyKeyReused(APIException):
    """Another request came with the same Idempotency-Key before."""

    status_code = HTTPStatus.CONFLICT
    default_detail = _("Another request came with the same Idempotency-Key before.")
    default_code = "idempotency_key_reused"


def answer_once(
    request: Request, handle: Callable[[], Response], on_error: Callable[[Exception], Response]
) -> Response:
    """
    Return the answer to a request that may be a repetition.

    :param handle: carries the request out.
    :param on_error: turns what that raises into an answer.
    :raises ValidationError: the key is malformed.
    :raises IdempotencyKeyReused:
    """
    key = request.headers["Idempotency-Key"]
    if not KEY.fullmatch(key):
        message = _("An Idempotency-Key has 1 to 255 printable ASCII characters, no blanks.")
        raise ValidationError({"Idempotency-Key": [message]})
    fingerprint = _fingerprint(request)
    user = request.user
    assert user.is_authenticated  # permissions were checked before
    with transaction.atomic():
        forget_old()
        mine = _claim(user, key, fingerprint)
        if mine is None:
            return _replay(user, key, fingerprint)
        try:
            with transaction.atomic():
                response = handle()
        except Exception as error:  # noqa: BLE001 (whatever it is, it has an answer)
            response = on_error(error)
        if response.status_code < 300:
            _keep(mine, response)
        else:
            mine.delete()
    return response


def forget_old() -> None:
    """Delete some of the expired answers, without waiting for locks."""
    old = KeptAnswer.objects.filter(created_at__lt=Now() - KEPT_FOR).order_by("created_at")
    chosen = old.select_for_update(skip_locked=True).values("pk")[:FORGOTTEN_AT_ONCE]
    KeptAnswer.objects.filter(pk__in=list(chosen.values_list("pk", flat=True))).delete()


def _claim(user: AbstractBaseUser, key: str, fingerprint: str) -> KeptAnswer | None:
    """Store the key, waiting for a request that uses it now; None if it was used before."""
    KeptAnswer.objects.filter(user_id=user.pk, key=key, created_at__lt=Now() - KEPT_FOR).delete()
    row = KeptAnswer(user_id=user.pk, key=key, fingerprint=fingerprint)
    [row] = KeptAnswer.objects.bulk_create([row], ignore_conflicts=True)
    # `bulk_create` with `ignore_conflicts` does not say whether the row was stored.
    return KeptAnswer.objects.filter(user_id=user.pk, key=key, status=None).first()


def _replay(user: AbstractBaseUser, key: str, fingerprint: str) -> Response:
    kept = KeptAnswer.objects.get(user_id=user.pk, key=key)
    if kept.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    data = json.loads(kept.body) if kept.body else None
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    content_type = headers.pop("Content-Type", None)
    return Response(data, status=kept.status, headers=headers, content_type=content_type)


def _keep(row: KeptAnswer, response: Response) -> None:
    row.status = response.status_code
    row.headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    if response.content_type:
        row.headers["Content-Type"] = response.content_type
    row.body = "" if response.data is None else JSONRenderer().render(response.data).decode()
    row.save()


def _fingerprint(request: Request) -> str:
    """Return a hash of a request, the same for any spelling of the same JSON."""
    body = json.dumps(_plain(request.data), sort_keys=True)
    # What one key may read another may not.
    key = f"key {request.auth.pk}\n" if isinstance(request.auth, ApiKey) else ""
    return sha256(f"{key}{request.get_full_path()}\n{body}".encode()).hexdigest()


def _plain(data: Any) -> Any:
    return dict(data) if isinstance(data, Mapping) else data
