"""`manage.py demo`."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from content import demo
from scheduling.management import base

WHAT_THEY_MAY = {
    "admin": gettext_lazy("everything"),
    "editor": gettext_lazy("write, schedule, publish"),
    "author": gettext_lazy("write drafts"),
    "operator": gettext_lazy("watch over the jobs, run failed ones again"),
}


class Command(base.ArmoCommand):
    """Example: manage.py demo."""

    help = (
        "For development: make the demo's logins and posts, and schedule a few for the next two "
        "minutes. May be run again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the demo's data, and print what to look at."""
        if not demo.is_development():
            # The demo's passwords are public.
            raise CommandError(
                _(
                    "The demo is for development only: it needs DEBUG=on and the embedded"
                    " PostgreSQL, without a DATABASE_URL."
                )
            )
        people = demo.make_people()
        items = demo.import_files(by=people["editor"])

        self.stdout.write(_("Demo logins (the password is the name):"))
        for name in people:
            self.stdout.write(f"  {name:<10}{WHAT_THEY_MAY[name]}")
        zone = timezone.get_current_timezone_name()
        self.stdout.write(_("About to go live (times of %(zone)s):") % {"zone": zone})
        for upcoming in demo.schedule_soon(items, by=people["editor"]):
            self.stdout.write(f"  {_line(upcoming)}")


def _line(upcoming: demo.Upcoming) -> str:
    if upcoming.refusal:
        return f"{upcoming.item}: {upcoming.refusal}"
    at = f"{timezone.localtime(upcoming.run_at):%H:%M:%S}"
    wait = _("in %(seconds)d s") % {"seconds": upcoming.seconds}
    line = f"{at}  {wait:<10}{upcoming.item}"
    if upcoming.unpublish_at is not None:
        until = f"{timezone.localtime(upcoming.unpublish_at):%H:%M:%S}"
        line += " " + _("(until %(time)s)") % {"time": until}
    return line
