"""Calendar links: who may read the schedule without signing in, by the secret of an address."""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.contrib.auth.models import User
from django.db.models import Q

from scheduling.models import CalendarLink, ClockNow, ClockTimestamp

SECRET_BYTES = 32
# Every read would be a write otherwise.
READ_NOTED_EVERY = timedelta(hours=1)


def make_calendar_link(user: User) -> str:
    """
    Make the person's calendar link; one that was made before opens nothing any more.

    :returns: the secret. Only its digest is stored, so this is the one time to show it.
    """
    secret = secrets.token_urlsafe(SECRET_BYTES)
    made = {"digest": _digest(secret), "created_at": ClockTimestamp(), "last_read_at": None}
    CalendarLink.objects.update_or_create(user=user, defaults=made)
    return secret


def revoke_calendar_link(user: User) -> bool:
    """Take the person's calendar link away; return whether there was one."""
    deleted, _ = CalendarLink.objects.filter(user=user).delete()
    return bool(deleted)


def find_link(user: User) -> CalendarLink | None:
    """Query the person's calendar link, which tells everything but its address."""
    return CalendarLink.objects.filter(user=user).first()


def find_calendar_user(secret: str) -> User | None:
    """Query whose calendar the secret opens; None when nobody's, or a user's who is inactive."""
    found = CalendarLink.objects.filter(digest=_digest(secret)).select_related("user").first()
    return found.user if found and found.user.is_active else None


def note_reading(user: User) -> None:
    """Note that the person's calendar is in use, once an hour."""
    noted_long_ago = Q(last_read_at=None) | Q(last_read_at__lt=ClockNow() - READ_NOTED_EVERY)
    links = CalendarLink.objects.filter(noted_long_ago, user=user)
    links.update(last_read_at=ClockTimestamp())


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()
