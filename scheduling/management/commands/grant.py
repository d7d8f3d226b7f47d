"""`manage.py grant`."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction

from scheduling.management import base


class Command(base.ArmoCommand):
    """Example: manage.py grant mina Editors --create --email mina@example.org."""

    help = (
        "Put a person into groups, and so let them into the admin. Safe to repeat. A new account "
        "has no password: set one with manage.py changepassword. Exit code 1 when the person or a "
        "group does not exist."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="<username>")
        parser.add_argument(
            "groups", nargs="+", metavar="<group>", help="such as Authors, Editors or Operators"
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--create", action="store_true", help="make the account, if there is none")
        how.add_argument("--revoke", action="store_true", help="take out of the groups")
        parser.add_argument("--email", default="", help="with --create: of the new account")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if options["email"] and not options["create"]:
            raise base.wrong_usage("--email goes with --create.")
        groups = find_groups(options["groups"])
        person = self.find_or_create(options)
        if options["revoke"]:
            person.groups.remove(*groups)
        else:
            person.groups.add(*groups)
        # With no right left, the admin is an empty page.
        person.is_staff = (
            person.is_superuser or person.groups.exists() or person.user_permissions.exists()
        )
        person.save(update_fields=["is_staff"])
        self.stdout.write(sentence(person))
        if not person.has_usable_password():
            self.stdout.write(f"Set a password: manage.py changepassword {person}")
        if not person.is_active:
            self.stdout.write("The account is inactive: nobody can sign in with it.")

    def find_or_create(self, options: dict[str, Any]) -> Any:
        """
        Return the person, locked; with `--create` a new one if there is none.

        :raises CommandError: there is none, or the name or address cannot be one.
        """
        users = get_user_model()._default_manager
        name = get_user_model().normalize_username(options["username"])
        try:
            return users.select_for_update().get(**{get_user_model().USERNAME_FIELD: name})
        except get_user_model().DoesNotExist:
            if not options["create"]:
                raise base.refused(f"No user is called {name}. --create makes one.") from None
        person: Any = get_user_model()(**{get_user_model().USERNAME_FIELD: name})
        person.email = get_user_model().objects.normalize_email(options["email"])
        person.set_unusable_password()
        try:
            person.full_clean()
        except ValidationError as error:
            raise base.refused(" ".join(error.messages)) from error
        person.save()
        return person


def find_groups(names: list[str]) -> list[Group]:
    """
    Query groups by their names.

    :raises CommandError: one does not exist; the message names those that do.
    """
    groups = {group.name: group for group in Group.objects.order_by("name")}
    if missing := [name for name in names if name not in groups]:
        raise base.refused(f"No group is called {missing[0]}. There are: {', '.join(groups)}.")
    return [groups[name] for name in names]


def sentence(person: Any) -> str:
    """Return which groups the person is in."""
    names = ", ".join(person.groups.order_by("name").values_list("name", flat=True))
    return f"{person} is in {names}." if names else f"{person} is in no group."
