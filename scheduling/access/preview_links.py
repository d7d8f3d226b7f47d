"""Preview links: they show an item that is not live to people without a login, for a while."""

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing

from scheduling import conf
from scheduling.access.permissions import visible_to
from scheduling.errors import DomainError
from scheduling.models import Schedulable

SALT = "armo.preview"


class PreviewExpired(DomainError):
    """The preview has expired. Ask for a new link."""

    code = "preview_expired"


class NoSuchPreview(DomainError):
    """The link leads to no preview."""

    code = "not_found"


def make_preview_token(item: Schedulable, *, by: AbstractBaseUser) -> str:
    """
    Return the last part of the address of a preview, which works for `PREVIEW_HOURS`.

    It is signed, not stored, and also stops working when the item is deleted, or when its maker may
    not sign in or see the item any more.
    """
    return signing.dumps([item._meta.label_lower, item.pk, by.pk], salt=SALT)


def find_previewed(token: str) -> Schedulable:
    """
    Query the item that a link shows.

    :raises PreviewExpired:
    :raises NoSuchPreview: the signature is wrong, or the item or the maker of the link is gone.
    """
    try:
        label, pk, by = signing.loads(token, salt=SALT, max_age=conf.PREVIEW_HOURS * 3600)
        model = apps.get_model(label)
    except signing.SignatureExpired as error:
        raise PreviewExpired from error
    except (signing.BadSignature, ValueError, LookupError) as error:
        raise NoSuchPreview from error
    maker = get_user_model()._default_manager.filter(pk=by, is_active=True).first()
    if maker is None or not issubclass(model, Schedulable):
        raise NoSuchPreview
    item: Schedulable | None = visible_to(maker, model._base_manager.filter(pk=pk)).first()
    if item is None:
        raise NoSuchPreview
    return item
