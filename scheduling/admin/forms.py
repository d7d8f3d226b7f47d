"""What a person fills in beside a button of the admin: a time, an end, a reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from armo.people import zones
from scheduling.models import Schedulable, Status

FORMAT = "%Y-%m-%dT%H:%M:%S"


class LocalText(str):
    """A local time as it was typed: beside the name of which zone, and which of two is meant."""

    __slots__ = ("which", "zone")
    which: str
    zone: str


def zone_typed_in(typed: Any) -> tzinfo:
    """
    Return the time zone that a local time was typed in.

    It is the one that its page showed beside it, also when the person has chosen another since, on
    another page.
    """
    return zones.find(getattr(typed, "zone", "")) or timezone.get_current_timezone()


def offset_name(at: datetime) -> str:
    """Return how far a time's clock is from UTC, as `UTC+09:00`."""
    return f"UTC{at.isoformat()[-6:]}"


def meanings(local: datetime, zone: tzinfo) -> list[datetime]:
    """
    Return the moments at which the clocks of a zone show a local time.

    One, as a rule; two where they are set back over it; none where they are set forward over it.

    :param local: naive.
    """
    moments = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    if moments[0].utcoffset() == moments[1].utcoffset():
        return moments[:1]
    shown = [at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) for at in moments]
    return moments if shown[0] == local else []


class LocalTimeInput(forms.DateTimeInput):
    """A browser's own clock-and-calendar; asks which is meant of a time that comes twice."""

    template_name = "scheduling/local_time_input.html"

    def __init__(self) -> None:
        super().__init__(attrs={"type": "datetime-local", "step": "any"}, format=FORMAT)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Return what was typed, with which is meant."""
        value = data.get(name)
        if value is None:
            return None
        text = LocalText(value)
        text.which = data.get(f"{name}_which", "")
        text.zone = data.get(f"{name}_zone", "")
        return text

    def format_value(self, value: Any) -> str | None:
        """Return a time as the clocks of the current time zone show it."""
        if isinstance(value, datetime):
            return f"{timezone.localtime(value):{FORMAT}}"
        return value and str(value)

    def _zone(self, value: Any) -> str:
        # As typed it is shown again as it was, with the zone that it was typed in.
        typed_in = getattr(value, "zone", "")
        return typed_in if zones.find(typed_in) else timezone.get_current_timezone_name()

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """Add the choice, where there is one, and the name of the zone."""
        context = super().get_context(name, value, attrs)
        context["widget"]["zone"] = self._zone(value)
        context["widget"]["choices"] = choices(value)
        return context


def choices(value: Any) -> list[dict[str, Any]]:
    """Return what can be meant by a local time, where that is more than one moment."""
    zone = zone_typed_in(value)
    if isinstance(value, datetime):
        local: datetime | None = value.astimezone(zone)
        assert local is not None
        which, local = str(local.fold), local.replace(tzinfo=None, fold=0)
    else:
        which, local = getattr(value, "which", ""), _parse(str(value or ""))
    moments = meanings(local, zone) if local is not None else []
    if len(moments) < 2:
        return []
    return [
        {"value": str(fold), "offset": offset_name(at), "is_chosen": which == str(fold)}
        for fold, at in enumerate(moments)
    ]


def _parse(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return None if found is None or timezone.is_aware(found) else found


RANGE: list[Any] = [
    MinValueValidator(datetime(10, 1, 1, tzinfo=UTC)),
    MaxValueValidator(datetime(9990, 1, 1, tzinfo=UTC)),
]


class LocalTimeField(forms.DateTimeField):
    """
    A time of the current time zone, as a browser's own clock-and-calendar gives it.

    Refused: a local time that the clocks skip. One that they show twice is asked about.
    """

    widget = LocalTimeInput
    # The first and the last years of the calendar cannot be shown in every time zone.
    default_validators = RANGE

    def prepare_value(self, value: Any) -> Any:
        """Return the time as the input takes it: aware, so that it knows which is meant."""
        return value

    def to_python(self, value: Any) -> datetime | None:
        """Return the aware time."""
        try:
            with timezone.override(zone_typed_in(value)):
                return super().to_python(value)
        except ValidationError as error:
            if error.code != "ambiguous_timezone" or error.params is None:
                raise
            return self._choose(error.params["datetime"], value, error)

    def _choose(self, local: datetime, typed: Any, error: ValidationError) -> datetime:
        shown = {"time": f"{local:%Y-%m-%d %H:%M}"}
        zone, which = zone_typed_in(typed), getattr(typed, "which", "")
        moments = meanings(local, zone)
        if not moments:
            after = local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
            shown["after"] = f"{after:%H:%M}"
            raise ValidationError(
                _("The clocks skip %(time)s that night. The same moment is %(after)s."),
                code="skipped",
                params=shown,
            ) from error
        if which not in ("0", "1"):
            raise ValidationError(
                _("The clocks show %(time)s twice that night. Say which one is meant."),
                code="twice",
                params=shown,
            ) from error
        # In UTC: within the repeated hour no time equals the same moment in another zone (PEP 495).
        return moments[int(which)].astimezone(UTC)


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
