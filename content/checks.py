"""System checks, run by `manage.py check --deploy` and `manage.py doctor`."""

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from content import demo


@register(Tags.security, "logins", deploy=True)
def check_logins(**kwargs: Any) -> list[CheckMessage]:
    """Return which logins of the demo work on a site that others can reach."""
    if demo.is_development():
        return []
    try:
        names = demo.people_with_public_passwords()
    except DatabaseError:
        # Where an image is built there is none, or it is not migrated yet.
        return []
    return [
        Error(
            f"The demo's login {name} works here, with its name as the password.",
            hint=f"Give it another with manage.py changepassword {name}, or delete it.",
            id="content.E001",
        )
        for name in names
    ]
