"""Fields that several models have: who did something, by which request."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Cast
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:  # models are being loaded
    from django.contrib.auth.models import AbstractUser


class _WithNames(models.QuerySet[Any]):
    """The rows of a deletion; a user field that is emptied leaves its name in the same UPDATE."""

    def update(self, **values: Any) -> int:
        names = {f"{field}_name": _name(self.model._meta.get_field(field)) for field in values}
        return super().update(**values, **names)


def keep_name(collector: Any, field: Any, rows: Any, using: str) -> None:
    """
    Empty the field of who did something, and write their name beside it: an `on_delete`.

    So nothing more is written while they have an account; until then the name is the account's.
    """
    # `Collector` updates by the query itself, as long as nobody has read its rows.
    collector.add_field_update(field, None, _WithNames(rows.model, rows.query, using))


# Django need not read the rows; see `Collector.collect`.
keep_name.lazy_sub_objs = True  # type: ignore[attr-defined]


def _name(field: Any) -> Subquery:
    user = get_user_model()
    users = user._base_manager.filter(pk=OuterRef(field.attname))
    return Subquery(users.values(name=Cast(user.USERNAME_FIELD, models.TextField())))


def user_field(label: Any, help_text: Any = "") -> "models.ForeignKey[Any, AbstractUser | None]":
    """Return the field of who did something; beside it the model has `name_field()`."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=keep_name,
        null=True,
        blank=True,
        related_name="+",
        # Read only when a user is deleted, while every publish would have to write the index.
        db_index=False,
        verbose_name=label,
        help_text=help_text,
    )


def request_field() -> "models.CharField[str, str]":
    """Return the field of the id of a request (`scheduling.tracing`); empty if there was none."""
    # With a constant default in the database the column is added without writing any row.
    return models.CharField(
        _("request"), max_length=128, blank=True, default="", db_default="", editable=False
    )


def name_field() -> "models.TextField[str | None, str | None]":
    """
    Return the field `<of a user>_name`, for the user field of that name.

    It is empty while they have an account, and if it was no person. NULL is a row from before names
    were kept: if its user field is empty, nobody knows whether it was a person.
    """
    return models.TextField(null=True, blank=True, default="", db_default="", editable=False)


def name_for_programs(row: models.Model, field: str) -> str | None:
    """Return the name of who did something; None if it was no person, or is not known."""
    user = getattr(row, field)
    return user.get_username() if user else getattr(row, f"{field}_name") or None


def name_for_people(row: models.Model, field: str, *, nobody: str, is_none: bool = False) -> str:
    """
    Return who did something, in the active language.

    :param nobody: if it was no person.
    :param is_none: it was none, even in a row from before names were kept.
    """
    user, name = getattr(row, field), getattr(row, f"{field}_name")
    if user:
        return str(user)
    if name is None and not is_none:
        return gettext("unknown")
    return of_deleted_account(name) if name else nobody


def of_deleted_account(name: str) -> str:
    """Return the name of somebody whose account is gone: it may be another person's by now."""
    return gettext("%(name)s (account deleted)") % {"name": name}
