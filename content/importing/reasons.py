"""What an import did otherwise than a file says. Codes never change once published."""

from typing import Any

from django.utils.translation import gettext_noop

from scheduling.errors import Reason

TEXTS = {
    # Files
    "link": gettext_noop("It is a link."),
    "section_page": gettext_noop("It is the page of a section, not a post."),
    "not_a_file": gettext_noop("It is not a file."),
    "packages": gettext_noop("It is a folder of packages."),
    "backup": gettext_noop("It is a copy that an editor has left."),
    "format": gettext_noop("Armo reads Markdown and HTML, not %(suffix)s."),
    "suffix": gettext_noop("%(tool)s makes no pages of %(suffix)s files."),
    "outside": gettext_noop("It is outside the folders in which %(tool)s looks for pages."),
    "ignored": gettext_noop("Its site passes it over (“%(pattern)s” in %(file)s)."),
    "language_off": gettext_noop("Its language is switched off in %(file)s."),
    "part_of_bundle": gettext_noop("It is part of the page %(page)s."),
    "draft_section": gettext_noop("Its section is a draft."),
    "special": gettext_noop("%(tool)s passes over names that begin with “%(sign)s”."),
    "undated_name": gettext_noop(
        "Its name does not begin with a date, so that %(tool)s passes it over: kept as a draft."
    ),
    "no_output": gettext_noop("Its collection “%(collection)s” has no pages."),
    "same_place": gettext_noop("It is the same file of the site as %(file)s."),
    "moved": gettext_noop("It was %(path)s before."),
    "unknown_zone": gettext_noop("There is no time zone “%(zone)s”: it was passed over."),
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
