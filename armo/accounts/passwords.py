"""Passwords that Django hashes anew, which stay the same passwords."""

from typing import Any

from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.db import connections, transaction

SET = "SELECT set_config('armo.hashed_anew', %s, true)"


def keep_access_when_hashed_anew(
    sender: Any, instance: Any, using: str, update_fields: Any, **kwargs: Any
) -> None:
    """
    Store a hash that takes the place of an older one of the same password.

    Triggers end tokens and the calendar link with a password; here they are kept from it, for this
    one statement. Django then stores the hash once more, which changes nothing.
    """
    if not _is_hashed_anew(instance, update_fields):
        return
    rows = sender._base_manager.using(using).filter(pk=instance.pk)
    old = rows.values_list("password", flat=True).first()
    if old is None or not _is_outdated(old):
        return
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(SET, [str(instance.pk)])
        rows.filter(password=old).update(password=instance.password)
        cursor.execute(SET, [""])


def _is_hashed_anew(instance: Any, update_fields: Any) -> bool:
    """Return whether Django saves it because its hasher has changed, in `check_password()`."""
    # There it calls `set_password()`, and then takes back that the password was changed.
    is_taken_back = vars(instance).get("_password", "") is None
    return is_taken_back and set(update_fields or ()) == {"password"}


def _is_outdated(encoded: str) -> bool:
    """Return whether Django would hash the password anew, by its own rule."""
    try:
        hasher, preferred = identify_hasher(encoded), get_hasher()
    except ValueError:
        return False
    return hasher.algorithm != preferred.algorithm or preferred.must_update(encoded)
