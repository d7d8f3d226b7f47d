"""A local time as a person types it, and its meanings on days on which the clocks change."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from armo.accounts import zones
from armo.common.moments import MESSAGES, parse_local, parse_moment

FORMAT = "%Y-%m-%dT%H:%M:%S"
# Without it browsers take years of six digits, and the keys of the hour go into the year.
LATEST_TYPED = "9999-12-31T23:59:59"
LONG_YEAR = re.compile(r"[+-]?[0-9]{5,}-")


class LocalText(str):
    """A local time as it was typed, with its zone, and which of two times is meant."""

    __slots__ = ("which", "zone")
    which: str
    zone: str


def zone_typed_in(typed: Any) -> tzinfo:
    """
    Return the time zone that a local time was typed in.

    The page has shown it beside the time; the person may have chosen another zone since.
    """
    return zones.find(getattr(typed, "zone", "")) or timezone.get_current_timezone()


def zone_name(typed: Any) -> str:
    """Return the name of `zone_typed_in`."""
    typed_in = getattr(typed, "zone", "")
    return typed_in if zones.find(typed_in) else timezone.get_current_timezone_name()


def offset_name(at: datetime) -> str:
    """Return the offset of a time, as `UTC+09:00`."""
    return f"UTC{at.isoformat()[-6:]}"


def meanings(local: datetime, zone: tzinfo) -> list[datetime]:
    """
    Return the times at which the clocks of a zone show a local time.

    There is one, as a rule; two where the clocks are set back, none where they are set forward.

    :param local: naive.
    """
    moments = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    if moments[0].utcoffset() == moments[1].utcoffset():
        return moments[:1]
    shown = [at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) for at in moments]
    return moments if shown[0] == local else []


class LocalTimeInput(forms.DateTimeInput):
    """A browser's own input for a time; asks which is meant of a time that comes twice."""

    template_name = "people/local_time_input.html"

    def __init__(self) -> None:
        attrs = {"type": "datetime-local", "step": "any", "max": LATEST_TYPED}
        super().__init__(attrs=attrs, format=FORMAT)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """Return what was typed, with its zone and which is meant."""
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

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """Add the choice, where there is one, and the name of the zone."""
        context = super().get_context(name, value, attrs)
        # What was typed is shown again with the zone that it was typed in.
        context["widget"]["zone"] = zone_name(value)
        context["widget"]["choices"] = choices(value)
        return context


def choices(value: Any) -> list[dict[str, Any]]:
    """Return the meanings of a local time, if there is more than one."""
    zone = zone_typed_in(value)
    if isinstance(value, datetime):
        local: datetime | None = value.astimezone(zone)
        assert local is not None
        which, local = str(local.fold), local.replace(tzinfo=None, fold=0)
    else:
        which, local = getattr(value, "which", ""), parse_local(str(value or ""))
    moments = meanings(local, zone) if local is not None else []
    if len(moments) < 2:
        return []
    return [
        {"value": str(fold), "offset": offset_name(at), "is_chosen": which == str(fold)}
        for fold, at in enumerate(moments)
    ]


OUT_OF_RANGE = MESSAGES["out_of_range"]
RANGE: list[Any] = [
    MinValueValidator(datetime(1001, 1, 1, tzinfo=UTC), OUT_OF_RANGE),
    MaxValueValidator(datetime(9990, 1, 1, tzinfo=UTC), OUT_OF_RANGE),
]


class LocalTimeField(forms.DateTimeField):
    """
    A local time as a browser's own input gives it, `2026-03-01T09:00`, or one with its offset.

    Nothing else is taken, whoever posts the form. A time that the clocks skip is refused; of one
    that they show twice it asks which is meant.
    """

    widget = LocalTimeInput
    # The first and the last year that Python has cannot be shown in every time zone.
    default_validators = RANGE

    def prepare_value(self, value: Any) -> Any:
        """Return the time, still aware, so that the input knows which is meant."""
        return value

    def to_python(self, value: Any) -> datetime | None:
        """Return the aware time."""
        if value in self.empty_values or isinstance(value, datetime):
            return super().to_python(value)
        local = parse_local(str(value))
        if local is None:
            return self._with_offset(str(value))
        try:
            with timezone.override(zone_typed_in(value)):
                return super().to_python(local)
        except ValidationError as error:
            if error.code != "ambiguous_timezone":
                raise
            return self._choose(local, value, error)

    def _with_offset(self, text: str) -> datetime:
        try:
            return parse_moment(text).astimezone(UTC)
        except ValueError as error:
            if str(error) == "out_of_range" or LONG_YEAR.match(text):
                raise ValidationError(OUT_OF_RANGE, code="out_of_range") from error
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error

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
