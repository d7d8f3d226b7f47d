"""Keys of programs: making, finding and revoking them."""

import unicodedata
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, transaction
from django.db.models import Case, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from knox.crypto import hash_token
from knox.models import get_digest_token
from rest_framework.exceptions import AuthenticationFailed

from armo.common.api.fields import is_blank
from armo.common.api.models import ApiKey
from armo.common.api.scopes import Scope
from armo.common.moments import EARLIEST, LATEST, MESSAGES

# By this, people and scanners of secrets recognise a key.
PREFIX = "armo_"
SHOWN_CHARACTERS = 15
# Of one person, also those that have ended: lists show them all.
MOST_KEYS = 100
# Otherwise every request would be a write.
USE_NOTED_EVERY = timedelta(minutes=1)

# By what cannot be seen, or turns the direction, one name would look like another. Joiners stay:
# they change how some scripts and emoji look.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


class AccountChanged(AuthenticationFailed):
    """The password by which the request was let in is over, or the account is."""

    default_detail = _lazy("Log in first.")


class KeyRefused(Exception):
    """A key cannot be made as it was asked for."""

    code = "validation_error"

    def __init__(self, field: str, text: str, code: str = "invalid") -> None:
        """
        Say what is wrong.

        :param field: which field of the request is.
        """
        super().__init__(text)
        self.field, self.text, self.why = field, text, code

    def facts(self) -> dict[str, Any]:
        """Return the error of the field."""
        return {"errors": [{"field": self.field, "code": self.why, "detail": self.text}]}


def lock_account(user: AbstractBaseUser) -> None:
    """
    Lock the account of somebody who was let in, so that nothing ends its access meanwhile.

    :raises AccountChanged:
    """
    accounts = get_user_model()._base_manager.select_for_update(no_key=True)
    if not accounts.filter(pk=user.pk, password=user.password, is_active=True).exists():
        raise AccountChanged


def tidy(name: str) -> str:
    """Return the name of a key as it is stored, with single blanks."""
    return " ".join(name.split())


def check_new_key(*, owner: AbstractBaseUser, name: str, expires_at: datetime | None) -> None:
    """
    Query what stands in the way of a new key.

    :param name: as `tidy` returns it.
    :raises KeyRefused:
    """
    if is_blank(name):
        raise KeyRefused("name", _("It is empty."))
    if any(unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS for sign in name):
        raise KeyRefused("name", _("It has characters that cannot be shown."))
    if expires_at is not None:
        if not EARLIEST < expires_at < LATEST:
            # In another time zone it may be a year that no page can show.
            raise KeyRefused("expires_at", str(MESSAGES["out_of_range"]), "out_of_range")
        [now] = get_user_model()._base_manager.filter(pk=owner.pk).values_list(Now(), flat=True)
        if expires_at <= now:
            raise KeyRefused("expires_at", _("That time has already passed."), "not_in_future")
    own = ApiKey.objects.filter(owner_id=owner.pk).values_list("name", flat=True)
    # However a keyboard composes letters, they look the same.
    names = [unicodedata.normalize("NFC", it) for it in own]
    if unicodedata.normalize("NFC", name) in names:
        raise KeyRefused("name", _("You have a key of that name already."), "unique")
    if len(names) >= MOST_KEYS:
        text = _("You have %(number)d keys. Revoke one first.") % {"number": len(names)}
        raise KeyRefused("name", text, "too_many")


def make_key(
    *,
    owner: AbstractBaseUser,
    name: str,
    scopes: Collection[str],
    only_type: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """
    Make a key for programs of its owner.

    :param only_type: the one type of content that it is for, as `content.story`.
    :param expires_at: aware; must lie after the database's clock.
    :returns: the key, and its secret: only a digest is stored, so it can be shown only now.
    :raises KeyRefused:
    :raises AccountChanged:
    """
    digest, secret = get_digest_token(PREFIX)
    name = tidy(name)
    with transaction.atomic():
        # It also keeps two requests from taking the same name.
        lock_account(owner)
        check_new_key(owner=owner, name=name, expires_at=expires_at)
        key = ApiKey.objects.create(
            owner_id=owner.pk,
            name=name,
            scopes=[it.value for it in Scope if it.value in scopes],
            type=only_type,
            prefix=secret[:SHOWN_CHARACTERS],
            digest=digest,
            expires_at=expires_at,
        )
        _note(key, "added", by=owner)
    return key, secret


def revoke_key(*, key: ApiKey, by: AbstractBaseUser) -> None:
    """Delete a key; nothing happens if it was deleted meanwhile."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk).delete()[0]:
            _note(key, "deleted", by=by)


def _note(key: ApiKey, what: str, *, by: AbstractBaseUser) -> None:
    """Add a line to the admin's history of the owner's account, which the key does not outlive."""
    thing = {"name": "API key", "object": f"{key.name} ({key.prefix}…)"}
    LogEntry.objects.log_actions(
        user_id=by.pk,
        queryset=[key.owner],
        action_flag=CHANGE,
        change_message=[{what: thing}],
        single_object=True,
    )


def keys_in_use() -> QuerySet[ApiKey]:
    """Query the keys that have not ended."""
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))


def find_key(secret: str) -> ApiKey | None:
    """Query the key of an active account that has this secret."""
    is_noted = Case(When(_not_noted(), Value(False)), default=Value(True))
    found = keys_in_use().select_related("owner").annotate(is_noted=is_noted)
    key = found.filter(digest=hash_token(secret)).first()
    return key if key and key.owner.is_active else None


def note_use(key: ApiKey) -> None:
    """Record that a key was used, at most once a minute; skip it rather than wait or fail."""
    if key.is_noted:  # type: ignore[attr-defined]  # as `find_key` has found it
        return
    free = ApiKey.objects.filter(_not_noted(), pk=key.pk).select_for_update(skip_locked=True)
    # The server may take no writes for a while: reading goes on.
    with suppress(DatabaseError), transaction.atomic():
        ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=Now())


def _not_noted() -> Q:
    return Q(last_used_at=None) | Q(last_used_at__lt=Now() - USE_NOTED_EVERY)
