"""What the API takes and gives of items and jobs. Input checks shape; operations check meaning."""

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.utils.choices import CallableChoiceIterator
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from armo.common.api.fields import (
    ChoiceField,
    IdField,
    ListField,
    MomentField,
    StrictInput,
    TextField,
    YesNoField,
)
from scheduling.models import Job, JobEvent, Kind, State, Status, kind_choices, status_choices
from scheduling.models.references import MalformedItem, item_pattern, names_of_types, parse_item

MAX_REASON = 1000
# Those that are registered when a request comes.
STATUSES: Any = CallableChoiceIterator(status_choices)
KINDS: Any = CallableChoiceIterator(kind_choices)
MAX_BULK = 10_000
EXAMPLE_TIME = "2099-03-01T09:00:00+09:00"
EXAMPLE_END = "2099-03-01T12:00:00+09:00"


@extend_schema_field({"type": "string", "enum": names_of_types()})
class TypeField(TextField):
    """A type of content by its name, which `find_model` looks up."""


@extend_schema_field({"type": "string", "pattern": item_pattern()})
class ItemField(TextField):
    """An item by its name, which `parse_item` takes apart."""

    def to_internal_value(self, data: Any) -> str:
        """Return the name."""
        name = super().to_internal_value(data)
        try:
            parse_item(name)
        except MalformedItem as error:
            raise serializers.ValidationError(str(error), code="invalid") from error
        return name


class ReasonInput(StrictInput):
    """Why something is done."""

    reason = TextField(
        max_length=MAX_REASON, allow_blank=True, default="", help_text="Kept in the history."
    )


class ScheduleInput(ReasonInput):
    """When an item goes live, and when it ends."""

    publish_at = MomentField(help_text="In the future, by the database's clock.")
    unpublish_at = MomentField(
        required=False,
        allow_null=True,
        help_text="Its end; null for none. Left out, it keeps the end it has.",
    )


class UnscheduleInput(ReasonInput):
    """What is cancelled."""

    kind = ChoiceField(
        choices=KINDS,
        default=Kind.PUBLISH.value,
        help_text="`publish` takes the end with it; `unpublish` cancels the end alone.",
    )


class BulkScheduleInput(ReasonInput):
    """Which items go live together, and when."""

    ids = ListField(
        child=IdField(),
        min_length=1,
        max_length=MAX_BULK,
        help_text="One that comes twice counts once.",
    )
    publish_at = MomentField(help_text="In the future, by the database's clock.")


class BulkScheduleRow(serializers.Serializer[Any]):
    """An item, and the job that publishes it."""

    id = serializers.IntegerField()
    job = serializers.IntegerField()


class BulkScheduleOutput(serializers.Serializer[Any]):
    """What was scheduled."""

    publish_at = MomentField()
    scheduled = BulkScheduleRow(many=True)


class ItemInput(ReasonInput):
    """
    What may be asked of an item, beside what its type adds.

    `status: "scheduled"` with `publish_at` schedules; `status: "draft"` cancels; `publish_at` alone
    moves what is scheduled. Everything else about the status is read-only.
    """

    # Sent back by a client that has read them, perhaps; the answer says that they cannot be set.
    READ_ONLY: tuple[str, ...] = (
        "id",
        "version",
        "published_at",
        "created_at",
        "updated_at",
        "url",
        "body_html",
    )

    status = ChoiceField(
        choices=[(Status.DRAFT.value, "draft"), (Status.SCHEDULED.value, "scheduled")],
        required=False,
        help_text="Only these two can be asked for.",
        error_messages={
            "invalid_choice": _(
                "The status is read-only, but for “scheduled” with a publish_at, and “draft”, which"
                " cancels. See also publish/ and unpublish/."
            )
        },
    )
    publish_at = MomentField(required=False, allow_null=True, help_text="When it goes live.")
    unpublish_at = MomentField(required=False, allow_null=True, help_text="When it ends.")

    ENGINE = ("status", "publish_at", "unpublish_at", "reason")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse what cannot be meant together."""
        status, at = values.get("status"), values.get("publish_at")
        wrong: dict[str, Any] = {}
        if status == Status.DRAFT:
            for name in ("publish_at", "unpublish_at"):
                if values.get(name) is not None:
                    wrong[name] = _("A draft has no time. Send status “scheduled” with it.")
        elif "publish_at" in values and at is None:
            wrong["publish_at"] = _("It cannot be empty. To cancel, send status “draft”.")
        elif self.context["view"].action == "create":
            if status is None and (at or values.get("unpublish_at")):
                wrong["publish_at"] = _("Send status “scheduled” with it.")
            elif status == Status.SCHEDULED and at is None:
                wrong["publish_at"] = _("It is needed for status “scheduled”.")
        if wrong:
            raise serializers.ValidationError(wrong)
        return values


class ItemOutput(serializers.Serializer[Any]):
    """What every type of content answers with, beside what it adds."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=STATUSES)
    publish_at = MomentField(allow_null=True, help_text="The moment that was asked for.")
    unpublish_at = MomentField(allow_null=True, help_text="When it is taken down.")
    published_at = MomentField(allow_null=True, help_text="When it really went live, last.")
    version = serializers.IntegerField(help_text="Grows with every change.")


class EventOutput(serializers.Serializer[JobEvent]):
    """One line of a job's history."""

    what = serializers.ChoiceField(choices=JobEvent.What.choices)
    at = MomentField()
    by = serializers.SerializerMethodField(help_text="Who; null is the publisher itself.")
    old_run_at = MomentField(allow_null=True)
    new_run_at = MomentField(allow_null=True)
    reason = serializers.CharField()
    error = serializers.SerializerMethodField(help_text="Of a failed attempt: the error's class.")

    def get_by(self, event: JobEvent) -> str | None:
        """Return who."""
        return event.by.get_username() if event.by else None

    def get_error(self, event: JobEvent) -> str | None:
        """Return the error's class."""
        return (event.detail or {}).get("error")


class JobOutput(serializers.Serializer[Job]):
    """A job: one timed change of one item."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=KINDS)
    state = serializers.ChoiceField(choices=State.choices)
    model = serializers.SerializerMethodField(help_text="The item's type, as `content.story`.")
    item = serializers.CharField(source="item_label", help_text="As `story:42`.")
    item_id = serializers.IntegerField(source="object_id")
    item_title = serializers.CharField(help_text="As it was when it was scheduled.")
    run_at = MomentField(help_text="The moment that was asked for.")
    next_attempt_at = serializers.SerializerMethodField(
        help_text="When a worker takes it up; null when it is over."
    )
    finished_at = MomentField(allow_null=True)
    lateness_ms = serializers.FloatField(
        allow_null=True, help_text="Milliseconds from `run_at` until it was done, if it was."
    )
    attempts = serializers.IntegerField()
    reason = serializers.CharField()
    scheduled_by = serializers.SerializerMethodField(help_text="Who asked for it.")
    created_at = MomentField()

    def get_model(self, job: Job) -> str:
        """Return the item's type."""
        found = ContentType.objects.get_for_id(job.content_type_id)
        return f"{found.app_label}.{found.model}"

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_next_attempt_at(self, job: Job) -> str | None:
        """Return when a worker takes it up."""
        return MomentField().to_representation(job.next_attempt_at) if job.is_open else None

    def get_scheduled_by(self, job: Job) -> str | None:
        """Return who asked for it."""
        return job.scheduled_by.get_username() if job.scheduled_by else None


class JobDetail(JobOutput):
    """A job with its history, the oldest event first."""

    events = EventOutput(many=True)


class JobInput(ReasonInput):
    """Which item of any type, and what happens to it when."""

    model = TypeField(max_length=200, help_text="A type of content: `story`, or `content.story`.")
    id = IdField()
    kind = ChoiceField(choices=KINDS)
    run_at = MomentField(help_text="In the future, by the database's clock.")


class MoveInput(ReasonInput):
    """Another time."""

    run_at = MomentField(help_text="In the future, by the database's clock.")


class RerunFilterInput(StrictInput):
    """Which failed jobs: those that every filter given keeps, all of them without one."""

    ids = ListField(child=IdField(), required=False, min_length=1, max_length=1000)
    state = ChoiceField(choices=[(State.FAILED.value, "failed")], required=False)
    kind = ChoiceField(choices=KINDS, required=False)
    item = ItemField(required=False, max_length=200, help_text="As `story:42`.")
    run_at_after = MomentField(required=False, is_bound=True)
    run_at_before = MomentField(required=False, is_bound=True)
    since = MomentField(required=False, is_bound=True, help_text="That failed since then.")


class RerunInput(RerunFilterInput, ReasonInput):
    """
    Which failed jobs run again.

    May be repeated: a job that runs again already is left alone.
    """

    filter = RerunFilterInput(required=False, help_text="The filters may stand in here, too.")
    dry_run = YesNoField(default=False, help_text="Say what would happen, and do nothing.")


class RerunAnswer(serializers.Serializer[Any]):
    """What became of one job."""

    job = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=["rerun", "already", "refused", "failed"])
    text = serializers.CharField()
    item = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=KINDS, allow_null=True)
    code = serializers.CharField(allow_null=True, help_text="Of a refusal.")


class RerunSummary(serializers.Serializer[Any]):
    """How many became what."""

    rerun = serializers.IntegerField()
    already = serializers.IntegerField()
    refused = serializers.IntegerField()
    failed = serializers.IntegerField()


class RerunOutput(serializers.Serializer[Any]):
    """What became of the jobs that were asked for, at most a thousand at once."""

    dry_run = serializers.BooleanField()
    has_more = serializers.BooleanField(help_text="There are more: ask again.")
    summary = RerunSummary()
    jobs = RerunAnswer(many=True)


def content_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return what an input says of the content, without what it asks of the engine."""
    return {name: value for name, value in values.items() if name not in ItemInput.ENGINE}
