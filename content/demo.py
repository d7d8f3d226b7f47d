"""
The data of `make run`: people, posts, and a few items about to go live.

It may run any number of times: it uses existing rows again, so that each start shows publishing and
no rows pile up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils.translation import gettext_noop

from armo.common import postgres
from content.importing import IMPORTERS, Outcome, find_posts
from scheduling import operations
from scheduling.errors import DomainError, Reason
from scheduling.models import Schedulable, clock
from scheduling.models.references import find_item

FOLDER = Path(settings.BASE_DIR) / "demo"
REASON = Reason("demo", gettext_noop("demo"))

# The users and their groups. The name is also the password.
PEOPLE = {"admin": None, "editor": "Editors", "author": "Authors", "operator": "Operators"}


@dataclass(frozen=True)
class Wait:
    """How long after the start an item goes live, and when it is taken down again."""

    seconds: int
    end_seconds: int | None = None


# Keys are names of files in `demo/due` and `demo/notices`.
WAITS = {
    "the-morning-edition-is-out": Wait(20),
    "the-lift-is-resting": Wait(40, end_seconds=100),
    "the-news-before-lunch": Wait(60),
    "the-evening-column": Wait(120),
}


class DemoFileBroken(DomainError):
    """A file of the demo cannot be imported."""

    code = "validation_error"


@dataclass(frozen=True)
class Upcoming:
    """An item about to go live, or why it cannot."""

    item: Schedulable
    seconds: int
    run_at: datetime
    unpublish_at: datetime | None
    refusal: str = ""


def is_development() -> bool:
    """Return whether nobody else can reach this site: only there public passwords do no harm."""
    return bool(settings.DEBUG) and connection.settings_dict["ENGINE"] == postgres.__name__


def people_with_public_passwords() -> list[str]:
    """Return the names of the demo's users who may sign in with the password of the demo."""
    found = User.objects.filter(username__in=PEOPLE, is_active=True)
    # Not `user.check_password`, which would store a newer hash of it.
    return sorted(it.username for it in found if check_password(it.username, it.password))


def make_people() -> dict[str, User]:
    """Make the demo's users if they are missing; leave existing ones as they are."""
    return {name: _person(name, group) for name, group in PEOPLE.items()}


@transaction.atomic
def _person(name: str, group: str | None) -> User:
    found = User.objects.filter(username=name).first()
    if found is not None:
        return found
    user = User.objects.create_user(
        name,
        # Not a real address: mail to it is printed on the console.
        email=f"{name}@example.org",
        password=name,
        is_staff=True,
        is_superuser=group is None,
    )
    if group is not None:
        user.groups.add(Group.objects.get(name=group))
    return user


def import_files(*, by: User) -> dict[str, Schedulable]:
    """
    Import the demo's files.

    :returns: the items, by the name of the file without its suffix.
    :raises DemoFileBroken:
    """
    found = {}
    for kind, folders in {"story": ("posts", "due"), "notice": ("notices",)}.items():
        files = find_posts(FOLDER / folder for folder in folders)
        for result in IMPORTERS[kind](by=by).run(files):
            if result.outcome == Outcome.FAILED:
                raise DemoFileBroken(f"{result.file}: {' '.join(map(str, result.notes))}")
            if result.item:  # some files are no posts
                found[Path(result.file).stem] = find_item(result.item)
    return found


def schedule_soon(items: dict[str, Schedulable], *, by: User) -> Iterator[Upcoming]:
    """Have the items of `WAITS` go live soon, also those that are live or scheduled already."""
    start = clock.database_now()
    for name, wait in WAITS.items():
        item, end = items[name], wait.end_seconds
        run_at = start + timedelta(seconds=wait.seconds)
        unpublish_at = None if end is None else start + timedelta(seconds=end)
        refusal = ""
        try:
            with transaction.atomic():
                if item.is_published:
                    operations.unpublish_now(item=item, by=by, reason=REASON)
                operations.schedule(
                    item=item, run_at=run_at, unpublish_at=unpublish_at, by=by, reason=REASON
                )
        except DomainError as error:  # an editor has emptied it: the others still go live
            refusal = str(error)
        yield Upcoming(item, wait.seconds, run_at, unpublish_at, refusal)
