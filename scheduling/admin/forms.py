"""What a person fills in beside a button of the admin: a time, an end, a reason."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from scheduling.models import Schedulable, Status


class LocalTimeField(forms.DateTimeField):
    """
    A time of the current time zone, as a browser's own clock-and-calendar gives it.

    Refused: a local time that the clocks skip, and one that they show twice, for nobody can tell
    which is meant.
    """

    widget = forms.DateTimeInput(
        attrs={"type": "datetime-local", "step": "any"}, format="%Y-%m-%dT%H:%M:%S"
    )
    # The last years of the calendar cannot be shown in every time zone.
    default_validators = [MaxValueValidator(datetime(9990, 1, 1, tzinfo=UTC))]  # noqa: RUF012 (as Django has it)

    def to_python(self, value: Any) -> datetime | None:
        """Return the aware time."""
        try:
            return super().to_python(value)
        except ValidationError as error:
            if error.code != "ambiguous_timezone" or error.params is None:
                raise
            local = error.params["datetime"]
            aware = local.replace(tzinfo=timezone.get_current_timezone())
            there_and_back = aware.astimezone(UTC).astimezone(aware.tzinfo).replace(tzinfo=None)
            message = (
                _("The clocks show %(time)s twice that night. Choose another time.")
                if there_and_back == local
                else _("The clocks skip %(time)s that night. Choose another time.")
            )
            raise ValidationError(message, params={"time": f"{local:%Y-%m-%d %H:%M}"}) from error


class ReasonForm(forms.Form):
    """Why something is done. The fields of a form are what its operation takes."""

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
        untouched = {name: at for name, at in self.initial.items() if name not in self.changed_data}
        return self.cleaned_data | untouched


class StartForm(ReasonForm):
    """When an item goes live, and when it ends."""

    run_at = LocalTimeField(label=_("Goes live at"))
    unpublish_at = LocalTimeField(label=_("Ends at"), required=False)
    field_order = ("run_at", "unpublish_at", "reason")

    @staticmethod
    def times_of(item: Schedulable) -> dict[str, datetime | None]:
        """Return what is planned; the times of something that is over are no plan."""
        return {
            "run_at": item.publish_at if item.status == Status.SCHEDULED else None,
            "unpublish_at": None if item.status == Status.UNPUBLISHED else item.unpublish_at,
        }


class EndForm(ReasonForm):
    """When an item ends."""

    run_at = LocalTimeField(label=_("Ends at"))
    field_order = ("run_at", "reason")

    @staticmethod
    def times_of(item: Schedulable) -> dict[str, datetime | None]:
        """Return the end that is planned."""
        return {"run_at": item.unpublish_at}
