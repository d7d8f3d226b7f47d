"""The forms of the admin's buttons: a time, an end, a reason."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from armo.accounts.local_time import LocalTimeField, zone_name
from armo.common.moments import parse_local
from scheduling.admin.seen import described, expect, read, signed
from scheduling.models import Job, Kind, Pause, Schedulable, transition_of
from scheduling.operations import Seen
from scheduling.operations.rules import kept_end


class ReasonForm(forms.Form):
    """A reason. The fields of a form are the parameters of its operation."""

    template_name = "scheduling/button_fields.html"
    reason = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=1000,
        widget=forms.TextInput(attrs={"placeholder": _("optional")}),
    )

    def arguments(self) -> dict[str, Any]:
        """
        Return the operation's arguments, once the form is valid.

        The form shows whole seconds: a time that was not changed keeps its fraction of a second.
        """
        untouched = {
            name: at
            for name, at in self.initial.items()
            if name in self.cleaned_data and name not in self.changed_data
        }
        return self.cleaned_data | untouched

    def zone(self) -> str:
        """Return the name of the time zone in which its time was typed; empty for an instant."""
        typed = self["run_at"].data if "run_at" in self.fields else None
        return zone_name(typed) if parse_local(str(typed)) else ""


class PauseForm(ReasonForm):
    """A reason that must be given: everybody will ask why nothing is published."""

    reason = forms.CharField(label=_("Why"), max_length=1000)


class ButtonForm(ReasonForm):
    """The form of a button on the page of a row: also sends what the page has shown of the row."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    @staticmethod
    def times_of(item: Any) -> dict[str, datetime | None]:
        """Return the initial times of the form, for an item or for what a page has shown of it."""
        return {}

    def arguments(self) -> dict[str, Any]:
        given = {name: value for name, value in super().arguments().items() if name != "seen"}
        return {**given, "zone": self.zone()} if "run_at" in given else given

    def expected(self, row: Schedulable | Job | Pause, names: Sequence[str]) -> Seen | None:
        """
        Return what the operation is to find, as the page has shown it; None if no page was sent.

        :param names: the fields to compare.
        """
        if not self.cleaned_data["seen"]:
            return None
        fields = read(self.cleaned_data["seen"], row)
        return expect(row, {name: fields[name] for name in names})

    def show_changed(self, row: Any) -> None:
        """Say who has changed what; show the row's new times in untouched fields."""
        seen = read(self.cleaned_data["seen"], row)
        text = described(row, seen)
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict
        before = self.times_of(SimpleNamespace(**seen))
        for name, at in self.times_of(row).items():
            if _to_the_second(self.cleaned_data.get(name)) == _to_the_second(before[name]):
                data[name] = self.fields[name].widget.format_value(at) or ""
                data[f"{name}_zone"] = timezone.get_current_timezone_name()
                data[f"{name}_which"] = str(timezone.localtime(at).fold) if at else ""
        data["seen"] = signed(row)
        self.data = data
        self.add_error(None, text)


def _to_the_second(at: datetime | None) -> datetime | None:
    return at and at.replace(microsecond=0)


class StartForm(ButtonForm):
    """The time at which an item goes live, and its end."""

    run_at = LocalTimeField(label=_("Goes live at"))
    unpublish_at = LocalTimeField(label=_("Ends at"), required=False)
    field_order = ("run_at", "unpublish_at", "reason", "seen")

    @staticmethod
    def times_of(item: Any) -> dict[str, datetime | None]:
        return {
            "run_at": transition_of(Kind.PUBLISH).asked_at(item),
            "unpublish_at": kept_end(item),
        }


class EndForm(ButtonForm):
    """The time at which an item ends."""

    run_at = LocalTimeField(label=_("Ends at"))
    field_order = ("run_at", "reason")

    @staticmethod
    def times_of(item: Any) -> dict[str, datetime | None]:
        return {"run_at": item.unpublish_at}


class MomentForm(ReasonForm):
    """One time for many items."""

    run_at = LocalTimeField(label=_("Goes live at"))
    field_order = ("run_at", "reason")


class IntervalForm(ReasonForm):
    """The interval by which many items are shifted."""

    UNITS = (
        ("minutes", _("minutes")),
        ("hours", _("hours")),
        ("days", _("days")),
        ("weeks", _("weeks")),
    )

    number = forms.IntegerField(
        label=_("Later by"),
        min_value=-100_000,
        max_value=100_000,
        help_text=_("A number below zero makes it earlier."),
        initial=1,
    )
    unit = forms.ChoiceField(label=_("of"), choices=UNITS, initial="days")
    field_order = ("number", "unit", "reason")

    def zone(self) -> str:
        return timezone.get_current_timezone_name()

    def clean_number(self) -> int:
        number: int = self.cleaned_data["number"]
        if number == 0:
            raise ValidationError(gettext("That changes nothing."))
        return number

    def shifted(self, at: datetime) -> datetime:
        """
        Return a time shifted by the interval.

        Days and weeks keep the local time of day, also when the clocks change in between. Of a
        local time that comes twice the first is taken; one that is skipped moves with the clocks.

        :raises OverflowError: the year is out of range.
        """
        number, unit = self.cleaned_data["number"], self.cleaned_data["unit"]
        length = timedelta(**{unit: number})
        if unit in ("minutes", "hours"):
            return at + length
        zone = timezone.get_current_timezone()
        local = at.astimezone(zone)
        moved = (local.replace(tzinfo=None, fold=0) + length).replace(tzinfo=zone, fold=local.fold)
        return moved.astimezone(UTC)
