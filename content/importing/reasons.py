"""What an import did otherwise than a file says. Codes never change once published."""

from typing import Any

from django.utils.translation import gettext_noop

from scheduling.errors import Reason

TEXTS = {
    # Files
    "link": gettext_noop("It is a link."),
    "section_page": gettext_noop("It is the page of a section, not a post."),
    "not_a_file": gettext_noop("It is not a file."),
    "moved": gettext_noop("It was %(path)s before."),
    # Items
    "not_stored": gettext_noop("It cannot be stored: %(reason)s"),
    "slug_taken": gettext_noop("“%(slug)s” is the address of another story: it gets “%(new)s”."),
    "address_taken": gettext_noop("“%(path)s” leads elsewhere already: it was left out."),
    "changed_here": gettext_noop("“%(part)s” was changed here, too: left as it is."),
    "no_such_field": gettext_noop("A notice has no “%(key)s”: it was left out."),
    "not_publishable": gettext_noop("Kept as a draft: %(problems)s"),
    # Schedules
    "cancelled_here": gettext_noop("Its schedule was cancelled here: it stays a draft."),
    "taken_down_here": gettext_noop("It was taken down: it stays down."),
    "is_live": gettext_noop("It is live: left as it is."),
    "scheduled_here": gettext_noop("Its schedule was changed here: left as it is."),
    "end_changed_here": gettext_noop("Its end was changed here: left as it is."),
    "end_has_passed": gettext_noop("Its new end has passed: it stays live."),
}


def reason(code: str, **params: Any) -> Reason:
    """Return a reason that people read."""
    return Reason(code, TEXTS[code], params)
