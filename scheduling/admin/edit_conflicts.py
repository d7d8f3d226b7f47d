"""
Two editors at once: the second save is told what changed and by whom, and nothing is lost.

A page carries a digest of each field as it was when the page was made. A field that somebody else
has changed since is shown with what it says now; a field that both have changed keeps what this
person wrote, with the other text beside it. Nothing is saved until the person has seen that and
saves again. Status and times are no fields of this form: a publish in the meantime is no conflict.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scheduling.models import clock

SEEN = "_seen"


def one_line_end(text: str) -> str:
    """Return a text with its lines ended in one way: a form sends them in another."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def plain(value: Any) -> Any:
    """Return what a field says in a form that can be compared, whether read or typed."""
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
    """Return a short sign of what a field says."""
    text = json.dumps(plain(value), default=str, sort_keys=True)
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class SeenForm(forms.ModelForm):
    """A form that knows what its reader has seen."""

    # Of each field that was changed by others: what it says by now, for the template.
    theirs: dict[str, str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.theirs = {}
        self.is_old = False
        for field in self.fields.values():
            if isinstance(field.widget, forms.Textarea) and isinstance(field, forms.CharField):
                # A text may begin with four spaces: that is code.
                field.strip = False

    def seen(self) -> str:
        """Return what the page carries; one that comes back for another error keeps its own."""
        return str(self.data.get(SEEN, "")) if self.is_bound else self._see()

    def _see(self) -> str:
        """Return when this was read, and a digest of each field."""
        at = clock.database_now().isoformat()
        return json.dumps({"at": at, "fields": self._digests()})

    def _digests(self) -> dict[str, str]:
        return {name: digest(self._stored(name)) for name in self.fields}

    def _stored(self, name: str) -> Any:
        value = self.initial.get(name)
        field = self.instance._meta.get_field(name)
        # Which words come first says nothing.
        is_set = field.many_to_many
        return {each.pk for each in value or ()} if is_set else value

    @cached_property
    def changed_data(self) -> list[str]:
        """Return the fields that the person has changed."""
        return [name for name in super().changed_data if not self._is_untouched(name)]

    def _is_untouched(self, name: str) -> bool:
        """
        Return whether a text came back as it was shown.

        Taken in as it came it would be another one: a browser ends lines its own way, and a field
        may trim its text, or take it apart where it should not.
        """
        field = self.fields[name]
        came = field.widget.value_from_datadict(self.data, self.files, self.add_prefix(name))
        shown = field.prepare_value(self._stored(name))
        return isinstance(came, str) and one_line_end(came) == one_line_end(str(shown or ""))

    def clean(self) -> dict[str, Any] | None:
        """Leave alone what nobody has touched; compare what was seen with what is there."""
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
            self._tell(changed, before, seen["at"])
        return cleaned

    def _read_seen(self) -> dict[str, Any] | None:
        try:
            seen = json.loads(self.data.get(SEEN, ""))
            at = parse_datetime(seen["at"])
            fields = seen["fields"]
        except (ValueError, TypeError, KeyError):
            return None
        if at is None or not isinstance(fields, dict):
            return None
        return {"at": at, "fields": fields}

    def _typed(self, name: str) -> Any:
        value = self.cleaned_data.get(name)
        if isinstance(value, QuerySet):
            return {each.pk for each in value}
        return value

    def _says_the_same(self, name: str) -> bool:
        return name not in self.errors and digest(self._typed(name)) == digest(self._stored(name))

    def _tell(self, changed: list[str], before: dict[str, str], at: datetime) -> None:
        """Have the form show what others wrote; keep what this person wrote."""
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict
        both: list[str] = []
        for name in changed:
            stored = self._stored(name)
            is_mine = name in self.errors or digest(self._typed(name)) != before[name]
            if is_mine:
                both.append(name)
                self.theirs[name] = _shown(self, name)
            else:
                self._put(data, name, stored)
        data[SEEN] = self._see()
        self.data = data
        self.is_old = True
        labels = ", ".join(f"“{self.fields[name].label}”" for name in changed)
        text = format_html(
            "{} {}",
            _("This was changed meanwhile, by %(who)s: %(fields)s. Nothing is saved yet.")
            % {"who": _who_since(self.instance, at), "fields": labels},
            ngettext(
                "One field you have both changed keeps your text; theirs is shown below."
                " Save again to keep what you see.",
                "%(count)d fields you have both changed keep your text; theirs is shown below."
                " Save again to keep what you see.",
                len(both),
            )
            % {"count": len(both)}
            if both
            else _("You see their text now. Save again to keep what you see."),
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
        """Return, of each field that both have changed, what the other wrote."""
        return format_html_join(
            "",
            '<div class="armo-theirs"><h3>{}</h3><textarea readonly rows="6" aria-label="{}">{}'
            "</textarea></div>",
            (
                (self.fields[name].label, _("What they wrote"), text)
                for name, text in self.theirs.items()
            ),
        )


def _shown(form: SeenForm, name: str) -> str:
    """Return what a field says, for a person."""
    value = form.initial.get(name)
    if isinstance(value, QuerySet | list | tuple | set):
        return "\n".join(str(each) for each in value)
    return str(form.fields[name].prepare_value(value) or "")


def _who_since(item: Model, at: datetime) -> str:
    """Query who has changed an item since a moment."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(item),
        object_id=str(item.pk),
        action_time__gt=at,
    )
    names: Iterable[str] = dict.fromkeys(
        entry.user.get_full_name() or entry.user.get_username()
        for entry in entries.select_related("user").order_by("-action_time")[:20]
    )
    return ", ".join(names) or _("somebody else")
