"""
Two editors at once: the second save shows what changed and by whom, and nothing is lost.

A page carries a digest of each field as it was when the page was made. A field that somebody else
has changed since is shown with what it says now; a field that both have changed keeps what this
person wrote, with the other text beside it. Nothing is saved until the person has seen that and
saves again. Status and times are no fields of this form: a publish in the meantime is no conflict.
"""

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from armo.accounts.history import log_entries
from armo.common.moments import parse_moment
from scheduling.models import clock

SEEN = "_seen"


def one_line_end(text: str) -> str:
    """Return a text with line feeds alone; a browser ends lines with CR LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain(value: Any) -> Any:
    """Return the value of a field so that it can be compared, read from the row or typed."""
    if value is None:
        return ""
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet | list | tuple | set):
        parts = [plain(each) for each in value]
        return sorted(parts, key=str) if not isinstance(value, list | tuple) else parts
    if isinstance(value, str):
        return one_line_end(value).strip()
    return value


def digest(value: Any) -> str:
    """Return a short hash of a field's value."""
    text = json.dumps(plain(value), default=str, sort_keys=True)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class SeenForm(forms.ModelForm):
    """A form that finds what others have changed since its page was made."""

    # The present text of each field that both have changed, for the template.
    theirs: dict[str, str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.theirs = {}
        self.is_old = False
        for field in self.fields.values():
            if isinstance(field.widget, forms.Textarea) and isinstance(field, forms.CharField):
                # A text that begins with four spaces is a block of code.
                field.strip = False

    def seen(self) -> str:
        """Return the page's hidden field; a form with errors keeps the one it came with."""
        return str(self.data.get(SEEN, "")) if self.is_bound else self._see()

    def _see(self) -> str:
        """Return when this was read, and a digest of each field."""
        return json.dumps({"at": clock.database_now().isoformat(), "fields": self._digests()})

    def _digests(self) -> dict[str, str]:
        return {name: digest(self._stored(name)) for name in self.fields}

    def _stored(self, name: str) -> Any:
        value = self.initial.get(name)
        # The rows of a many-to-many field have no order.
        is_set = self.instance._meta.get_field(name).many_to_many
        return {each.pk for each in value or ()} if is_set else value

    @cached_property
    def changed_data(self) -> list[str]:
        return [name for name in super().changed_data if not self._is_untouched(name)]

    def _is_untouched(self, name: str) -> bool:
        """
        Return whether a text came back as it was shown.

        Saved as it came it could differ: a browser ends lines its own way, and a field may trim its
        text, or split it where it should not.
        """
        field = self.fields[name]
        came = field.widget.value_from_datadict(self.data, self.files, self.add_prefix(name))
        shown = field.prepare_value(self._stored(name))
        return isinstance(came, str) and one_line_end(came) == one_line_end(str(shown or ""))

    def clean(self) -> dict[str, Any] | None:
        """Keep the stored value of untouched fields; compare the page with what is stored now."""
        cleaned = super().clean()
        for name, value in self.cleaned_data.items():
            if isinstance(value, str | list | dict) and self._is_untouched(name):
                self.cleaned_data[name] = getattr(self.instance, name)
            elif isinstance(value, str):
                self.cleaned_data[name] = one_line_end(value)
        seen = self._read_seen()
        if self.instance.pk is None or seen is None:
            return cleaned
        before, now = seen["fields"], self._digests()
        changed = [
            name
            for name in self.fields
            if name in before and before[name] != now[name] and not self._says_the_same(name)
        ]
        if changed:
            self._show_changes(changed, before, seen["at"])
        return cleaned

    def _read_seen(self) -> dict[str, Any] | None:
        try:
            seen = json.loads(self.data.get(SEEN, ""))
            at = parse_moment(seen["at"])
            fields = seen["fields"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        if not isinstance(fields, dict):
            return None
        return {"at": at, "fields": fields}

    def _typed(self, name: str) -> Any:
        value = self.cleaned_data.get(name)
        return {each.pk for each in value} if isinstance(value, QuerySet) else value

    def _says_the_same(self, name: str) -> bool:
        return name not in self.errors and digest(self._typed(name)) == digest(self._stored(name))

    def _show_changes(self, changed: list[str], before: dict[str, str], at: datetime) -> None:
        """Have the form show what others wrote; keep what this person wrote."""
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict
        for name in changed:
            if name in self.errors or digest(self._typed(name)) != before[name]:
                self.theirs[name] = self._shown(name)
            else:
                self._put(data, name, self._stored(name))
        data[SEEN] = self._see()
        self.data = data
        self.is_old = True
        labels = ", ".join(f"“{self.fields[name].label}”" for name in changed)
        both = len(self.theirs)
        text = format_html(
            "{} {}",
            _("This was changed meanwhile, by %(who)s: %(fields)s. Nothing is saved yet.")
            % {"who": _who_since(self.instance, at), "fields": labels},
            ngettext(
                "One field you have both changed keeps your text; theirs is shown below."
                " Save again to keep what you see.",
                "%(count)d fields you have both changed keep your text; theirs is shown below."
                " Save again to keep what you see.",
                both,
            )
            % {"count": both}
            if both
            else _("Their text is shown now. Save again to keep what you see."),
        )
        self.add_error(None, text)

    def _put(self, data: Any, name: str, stored: Any) -> None:
        value = self.fields[name].prepare_value(stored)
        key = self.add_prefix(name)
        if isinstance(stored, set):
            data.setlist(key, [str(pk) for pk in sorted(stored)])
        else:
            data[key] = "" if value is None else value

    def show_theirs(self) -> str:
        """Return the other text of each field that both have changed, as HTML."""
        return format_html_join(
            "",
            '<div class="armo-theirs"><h3>{}</h3><textarea readonly rows="6" aria-label="{}">{}'
            "</textarea></div>",
            (
                (self.fields[name].label, _("What they wrote"), text)
                for name, text in self.theirs.items()
            ),
        )

    def _shown(self, name: str) -> str:
        value = self.initial.get(name)
        if isinstance(value, QuerySet | list | tuple | set):
            return "\n".join(str(each) for each in value)
        return str(self.fields[name].prepare_value(value) or "")


def name_of_author(entry: LogEntry | None) -> str:
    """Return who has made a change; a shell or an import logs none."""
    if entry is None:
        return _("somebody else")
    return entry.user.get_full_name() or entry.user.get_username()


def _who_since(item: Model, at: datetime) -> str:
    entries = log_entries(item, most=20, action_time__gt=at)
    return ", ".join(dict.fromkeys(map(name_of_author, entries))) or name_of_author(None)
