"""Which time zone and language a person reads in."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist


def locale_of(person: AbstractBaseUser) -> tuple[str, str]:
    """
    Query the time zone and the language that a person has chosen.

    :returns: their names; empty where they have chosen none.
    """
    try:
        chosen = person.preferences  # type: ignore[attr-defined]
    except ObjectDoesNotExist:
        return "", ""
    return chosen.time_zone, chosen.language
