"""
Preview links: they show an item that is not live to people without a login, for a while.

A link ends when its time is over, when it is revoked, when the item is taken down, and when whoever
made it may not hand it out any more.
"""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from scheduling import conf
from scheduling.access.permissions import NotAllowed, has_right, visible_to
from scheduling.errors import DomainError
from scheduling.models import ClockNow, Job, Kind, PreviewLink, Schedulable, State, clock

SECRET_BYTES = 32
# For so long a link that is over says so, and then that there is none.
KEPT = timedelta(days=30)


class PreviewExpired(DomainError):
    """The preview has expired. Ask for a new link."""

    code = "preview_expired"


class NoSuchPreview(DomainError):
    """The link leads to no preview."""

    code = "not_found"


def may_share(user: AbstractBaseUser | AnonymousUser, item: Schedulable) -> bool:
    """
    Return whether a person who sees the item may hand out links to its preview.

    A right to decide when it goes live is none to its text.
    """
    return has_right(user, "change", type(item))


def make_preview_token(item: Schedulable, *, by: AbstractBaseUser) -> str:
    """
    Make a link; return the last part of its address, which works for `PREVIEW_HOURS`.

    Only its digest is stored, so it can be shown only now.

    :raises NotAllowed: they may see the item at most.
    """
    if not may_share(by, item):
        raise NotAllowed
    now, secret = clock.database_now(), secrets.token_urlsafe(SECRET_BYTES)
    PreviewLink.objects.filter(expires_at__lt=now - KEPT).delete()
    PreviewLink.objects.create(
        content_type=ContentType.objects.get_for_model(item),
        object_id=item.pk,
        digest=_digest(secret),
        made_by_id=by.pk,
        made_at=now,
        expires_at=now + timedelta(hours=conf.PREVIEW_HOURS),
        published_at=item.published_at,
    )
    return secret


def find_previewed(token: str) -> Schedulable:
    """
    Query the item that a link shows.

    :raises PreviewExpired: its time is over, or the item was taken down after it was made.
    :raises NoSuchPreview: there is no such link, or its item or its maker is gone.
    """
    link = PreviewLink.objects.select_related("made_by").filter(digest=_digest(token)).first()
    if link is None or not link.made_by.is_active:
        raise NoSuchPreview
    if link.expires_at <= clock.database_now():
        raise PreviewExpired
    model = link.content_type.model_class()
    if model is None or not issubclass(model, Schedulable):
        raise NoSuchPreview
    rows = visible_to(link.made_by, model._base_manager.filter(pk=link.object_id))
    item: Schedulable | None = rows.first()
    if item is None or not may_share(link.made_by, item):
        raise NoSuchPreview
    if not item.is_published and _is_taken_down_since(item, link):
        raise PreviewExpired
    return item


def links_of(item: Schedulable) -> QuerySet[PreviewLink]:
    """Query the links of an item whose time is not over, the last to end first."""
    of_item = PreviewLink.objects.filter(
        content_type=ContentType.objects.get_for_model(item), object_id=item.pk
    )
    return of_item.filter(expires_at__gt=ClockNow()).order_by("-expires_at")


def revoke_links(item: Schedulable) -> int:
    """Delete all links of an item; return how many would have worked."""
    number, _ = links_of(item).delete()
    return number


def _is_taken_down_since(item: Schedulable, link: PreviewLink) -> bool:
    if item.published_at != link.published_at:
        return True
    # An import may put it live again as of the same moment: then only the ledger knows.
    ends = Job.objects.of(item).filter(kind=Kind.UNPUBLISH, state=State.SUCCEEDED)
    return ends.filter(finished_at__gte=link.made_at).exists()


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
