"""Calendar links: the secret URLs that show a user's schedule without signing in."""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from scheduling.access.permissions import NotAllowed
from scheduling.models import CalendarLink, ClockNow, ClockTimestamp

SECRET_BYTES = 32
# Otherwise every read would be a write.
READ_NOTED_EVERY = timedelta(hours=1)


def make_calendar_link(user: User) -> str:
    """
    Make the user's calendar link; the one before stops working.

    :returns: the secret. Only its digest is stored, so it can be shown only now.
    :raises NotAllowed: the password by which the user was let in is over, or the account is.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    made = {"digest": _digest(secret), "created_at": ClockTimestamp(), "last_read_at": None}
    with transaction.atomic():
        # Until then no change of the password is committed, which would end the link.
        accounts = get_user_model()._base_manager.select_for_update(no_key=True)
        account = accounts.filter(pk=user.pk).first()
        if account is None or account.password != user.password or not account.is_active:
            raise NotAllowed
        CalendarLink.objects.update_or_create(user=user, defaults=made)
    return secret


def revoke_calendar_link(user: User) -> bool:
    """Delete the user's calendar link; return whether there was one."""
    deleted, _ = CalendarLink.objects.filter(user=user).delete()
    return bool(deleted)


def find_link(user: User) -> CalendarLink | None:
    """Query the user's calendar link."""
    return CalendarLink.objects.filter(user=user).first()


def find_calendar_user(secret: str) -> User | None:
    """Query the active user whose calendar link has this secret."""
    found = CalendarLink.objects.filter(digest=_digest(secret)).select_related("user").first()
    return found.user if found and found.user.is_active else None


def note_reading(user: User) -> None:
    """Record that the user's calendar was read, at most once an hour."""
    noted_long_ago = Q(last_read_at=None) | Q(last_read_at__lt=ClockNow() - READ_NOTED_EVERY)
    links = CalendarLink.objects.filter(noted_long_ago, user=user)
    links.update(last_read_at=ClockTimestamp())


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()
