"""Why something of a file was not taken as it is written. Codes never change once published."""

from typing import Any

from django.utils.translation import gettext_noop

from scheduling.errors import Reason

TEXTS = {
    # The file
    "too_large": gettext_noop("It is larger than %(limit)d bytes."),
    "utf16": gettext_noop("It is UTF-16. Save it as UTF-8."),
    "not_utf8": gettext_noop("Line %(line)d is not UTF-8."),
    "nul_bytes": gettext_noop("It has NUL bytes: it is not a text, or it is UTF-16."),
    "bare_html": gettext_noop("It has no front matter: a page of HTML, not a post."),
    "undated_html": gettext_noop("It has no date: a page of HTML, not a post."),
    "bare": gettext_noop("It has no front matter: %(tool)s makes no page of it."),
    "nul_removed": gettext_noop("NUL bytes were left out: %(count)d."),
    # Front matter
    "no_front_matter": gettext_noop("It has no front matter: kept as a draft."),
    "front_matter_open": gettext_noop("The front matter that starts in line %(line)d never ends."),
    "front_matter_long": gettext_noop("The front matter is longer than %(limit)d characters."),
    "front_matter_deep": gettext_noop("The front matter is too large, or nested too deeply."),
    "front_matter_scalar": gettext_noop("The front matter is not a list of keys and values."),
    "not_toml": gettext_noop("The front matter is not TOML: %(reason)s."),
    "not_json": gettext_noop("The front matter is not JSON: %(reason)s."),
    "not_yaml": gettext_noop("The front matter is not YAML: %(reason)s."),
    "not_yaml_line": gettext_noop("The front matter is not YAML: line %(line)d: %(reason)s."),
    "repeated_key": gettext_noop("“%(key)s” is there twice; the last one counts."),
    # Keys
    "no_title": gettext_noop("It has no title: “%(title)s” was taken instead."),
    "long_title": gettext_noop("The title has %(length)d characters; %(limit)d are allowed."),
    "not_text": gettext_noop("“%(key)s” is not a text."),
    "not_list": gettext_noop("“%(key)s” is not a list: left among the other keys."),
    "draft_unclear": gettext_noop("“draft” is neither true nor false: kept as a draft."),
    "language_unknown": gettext_noop("“%(language)s” is not a language: left out."),
    "word_cut": gettext_noop("“%(word)s…” in “%(key)s” was cut to %(limit)d characters."),
    "authors_cut": gettext_noop("The authors were cut to %(limit)d characters."),
    # Kept from readers by the site itself
    "hidden": gettext_noop("Its site keeps it from readers (“%(key)s”): kept as a draft."),
    # Bodies
    "code_draft": gettext_noop("Only its own tool can run %(names)s: kept as a draft."),
    "code_kept": gettext_noop("Readers will see code that only its own tool can run: %(names)s."),
    "code_dropped": gettext_noop("Code that only its own tool can run was left out: %(names)s."),
    "code_translated": gettext_noop("Written as Markdown: %(names)s."),
    "attributes": gettext_noop("Attributes such as “{: .class}” were left out: %(count)d."),
    "embeds": gettext_noop("Readers will not see %(names)s."),
    "local_pictures": gettext_noop("Pictures with an address within its own site: %(count)d."),
    "local_links": gettext_noop("Links to addresses within its own site: %(count)d."),
    # Dates
    "no_date": gettext_noop("It has no date: kept as a draft."),
    "not_date": gettext_noop("“%(key)s” is not a date."),
    "date_unclear": gettext_noop("“%(text)s” is not a date such as 2025-09-23 10:30:00 +09:00."),
    "date_impossible": gettext_noop("“%(text)s” is not a date: %(reason)s."),
    "date_of_address": gettext_noop("Its date was taken from “%(key)s”: %(date)s."),
    "date_ambiguous": gettext_noop(
        "“%(text)s” could be two days, by which comes first, day or month: kept as a draft."
    ),
    "zone_unknown": gettext_noop(
        "“%(zone)s” is not a known time zone: the time was read as one without."
    ),
    "ends_first": gettext_noop(
        "It ends at %(end)s, before it starts at %(start)s: kept as a draft."
    ),
    "time_skipped": gettext_noop(
        "In %(zone)s the clock skips %(time)s: %(shown)s was taken instead."
    ),
    "time_repeated": gettext_noop(
        "In %(zone)s the clock shows %(time)s twice: the first was taken."
    ),
}


def reason(code: str, **params: Any) -> Reason:
    """Return a reason that people read."""
    return Reason(code, TEXTS[code], params)
