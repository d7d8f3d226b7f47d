"""What a person fills in beside a button of the admin: a time, an end, a reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scheduling.admin.local_time import LocalTimeField
from scheduling.models import Schedulable, Status


class ReasonForm(forms.Form):
    """Why something is done. The fields of a form are what its operation takes."""

    template_name = "scheduling/button_fields.html"
    # Says who has changed last what the form is about.
    changed_by: Callable[[], str] = staticmethod(lambda: gettext("somebody else"))

    reason = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=1000,
        widget=forms.TextInput(attrs={"placeholder": _("optional")}),
    )

    @staticmethod
    def times_of(item: Schedulable) -> dict[str, datetime | None]:
        """Return the item's times that the form starts with."""
        return {}

    def wish(self) -> dict[str, Any]:
        """
        Return the operation's arguments, of a valid form.

        A form shows whole seconds: a time that was left as it is keeps its fraction.
        """
        untouched = {
            name: at
            for name, at in self.initial.items()
            if name in self.cleaned_data and name not in self.changed_data
        }
        return self.cleaned_data | untouched


class PauseForm(ReasonForm):
    """Why nothing goes out: everybody will ask."""

    reason = forms.CharField(label=_("Why"), max_length=1000)


class PlanForm(ReasonForm):
    """Times of an item, and what they were when its page was made."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("seen", self._signature())

    def _signature(self) -> str:
        return " ".join(sign(self.initial.get(name)) for name in ("run_at", "unpublish_at"))

    def clean(self) -> dict[str, Any]:
        """
        Refuse to go by times that the person has not seen: another has changed them meanwhile.

        The form that is shown then has the new ones wherever he had left the old.
        """
        cleaned = super().clean() or self.cleaned_data
        seen = cleaned.pop("seen", "")
        if seen and seen != self._signature():
            text = _("The times were changed meanwhile, by %(who)s. Look at them, and press again.")
            self.add_error(None, ValidationError(text, params={"who": self.changed_by()}))
            self._show_as_they_are(seen.split(" "))
        return cleaned

    def _show_as_they_are(self, seen: list[str]) -> None:
        data = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict
        for name, before in zip(("run_at", "unpublish_at"), seen, strict=False):
            # A form shows whole seconds.
            was_left = sign(self.cleaned_data.get(name)).split(".")[0] == before.split(".")[0]
            if name in self.fields and was_left:
                at = self.initial.get(name)
                data[name] = self.fields[name].widget.format_value(at) or ""
                data[f"{name}_zone"] = timezone.get_current_timezone_name()
                data[f"{name}_which"] = str(timezone.localtime(at).fold) if at else ""
        data["seen"] = self._signature()
        self.data = data


def sign(at: datetime | None) -> str:
    """Return a sign of a time, to the microsecond."""
    return "-" if at is None else f"{at.timestamp():.6f}"


class StartForm(PlanForm):
    """When an item goes live, and when it ends."""

    run_at = LocalTimeField(label=_("Goes live at"))
    unpublish_at = LocalTimeField(label=_("Ends at"), required=False)
    field_order = ("run_at", "unpublish_at", "reason", "seen")

    @staticmethod
    def times_of(item: Schedulable) -> dict[str, datetime | None]:
        """Return what is planned; the times of something that is over are no plan."""
        return {
            "run_at": item.publish_at if item.status == Status.SCHEDULED else None,
            "unpublish_at": None if item.status == Status.UNPUBLISHED else item.unpublish_at,
        }


class EndForm(PlanForm):
    """When an item ends."""

    run_at = LocalTimeField(label=_("Ends at"))
    field_order = ("run_at", "reason")

    @staticmethod
    def times_of(item: Schedulable) -> dict[str, datetime | None]:
        """Return the end that is planned."""
        return {"run_at": item.unpublish_at}


class MomentForm(ReasonForm):
    """One moment for many items."""

    run_at = LocalTimeField(label=_("Goes live at"))
    field_order = ("run_at", "reason")


class IntervalForm(ReasonForm):
    """By how much many items are shifted."""

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

    def clean_number(self) -> int:
        """Refuse a shift that changes nothing."""
        number: int = self.cleaned_data["number"]
        if number == 0:
            raise ValidationError(gettext("That changes nothing."))
        return number

    def shifted(self, at: datetime) -> datetime:
        """
        Return another time that far away.

        Days and weeks are those of the clock on the wall: what goes live at nine goes live at nine,
        also across the night in which the clocks change. Of a time that comes twice the first is
        meant; one that is skipped moves on with the clocks.

        :raises OverflowError: it leaves the calendar.
        """
        number, unit = self.cleaned_data["number"], self.cleaned_data["unit"]
        length = timedelta(**{unit: number})
        if unit in ("minutes", "hours"):
            return at + length
        zone = timezone.get_current_timezone()
        local = at.astimezone(zone)
        moved = (local.replace(tzinfo=None, fold=0) + length).replace(tzinfo=zone, fold=local.fold)
        return moved.astimezone(UTC)
