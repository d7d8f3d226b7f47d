"""Serializers of items and jobs. Input serializers check shape; operations check meaning."""

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
from scheduling.models import (
    Job,
    JobEvent,
    Kind,
    Schedulable,
    State,
    Status,
    kind_choices,
    status_choices,
)
from scheduling.models.fields import name_for_programs
from scheduling.models.references import MalformedItem, item_pattern, names_of_types, parse_item
from scheduling.queries.problems import problems_of

MAX_REASON = 1000
# Read at each request: statuses and kinds are registered when apps are loaded.
STATUSES: Any = CallableChoiceIterator(status_choices)
KINDS: Any = CallableChoiceIterator(kind_choices)
MAX_BULK = 10_000
EXAMPLE_TIME = "2099-03-01T09:00:00+09:00"
EXAMPLE_END = "2099-03-01T12:00:00+09:00"


@extend_schema_field({"type": "string", "enum": names_of_types()})
class TypeField(TextField):
    """The name of a type of content; see `find_model`."""


@extend_schema_field({"type": "string", "pattern": item_pattern()})
class ItemField(TextField):
    """The name of an item; see `parse_item`."""

    def to_internal_value(self, data: Any) -> str:
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


class ZoneInput(ReasonInput):
    """In which time zone times were chosen."""

    zone = TextField(
        max_length=64,
        required=False,
        help_text="The time zone, as `Asia/Seoul`, that people chose the times in: if its rules"
        " change, that is noticed. Times then have its offset, or are in UTC.",
    )


class ScheduleInput(ZoneInput):
    """When an item is to go live, and when it ends."""

    publish_at = MomentField(help_text="In the future, by the database's clock.")
    unpublish_at = MomentField(
        required=False,
        allow_null=True,
        help_text="Its end; null for none. Left out, it keeps the end it has.",
    )


class UnscheduleInput(ReasonInput):
    """What to cancel."""

    kind = ChoiceField(
        choices=KINDS,
        default=Kind.PUBLISH.value,
        help_text="`publish` takes the end with it; `unpublish` cancels the end alone.",
    )


class BulkScheduleInput(ZoneInput):
    """Which items are to go live together, and when."""

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
    """The items that were scheduled, with their jobs."""

    publish_at = MomentField()
    scheduled = BulkScheduleRow(many=True)


class ItemInput(ZoneInput):
    """
    The schedule of an item; its type adds the content.

    `status: "scheduled"` with `publish_at` schedules; `status: "draft"` cancels; `publish_at` alone
    moves a scheduled item. Every other change of the status has a route of its own.
    """

    # Clients may send these as they read them; the error says that they cannot be set.
    READ_ONLY: tuple[str, ...] = (
        "id",
        "version",
        "published_at",
        "created_at",
        "updated_at",
        "url",
        "body_html",
        "problem",
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

    # What only goes with a time or a status.
    NOTES = ("reason", "zone")
    ENGINE = ("status", "publish_at", "unpublish_at", *NOTES)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
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
        if "zone" in values and not (at or values.get("unpublish_at")):
            wrong.setdefault("zone", _("Send it with a time."))
        if wrong:
            raise serializers.ValidationError(wrong)
        return values


class ProblemOutput(serializers.Serializer[Any]):
    """Why an item has failed."""

    code = serializers.CharField(help_text="For programs, as `not_publishable`.")
    detail = serializers.CharField(help_text="For people, in the language of the request.")
    at = MomentField()


class ItemOutput(serializers.Serializer[Any]):
    """The fields that items of every type have in a response."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=STATUSES)
    publish_at = MomentField(allow_null=True, help_text="The requested time of the publish.")
    unpublish_at = MomentField(allow_null=True, help_text="When it is taken down.")
    published_at = MomentField(allow_null=True, help_text="When it last went live.")
    version = serializers.IntegerField(help_text="Grows with every change.")
    problem = serializers.SerializerMethodField(help_text="Why it is `failed`, else null.")

    @extend_schema_field(ProblemOutput(allow_null=True))
    def get_problem(self, item: Schedulable) -> Any:
        """Return why it has failed; a list has asked for all of its rows."""
        known = self.context.get("problems")
        problem = (problems_of([item]) if known is None else known).get(item)
        return None if problem is None else ProblemOutput(problem).data


class EventOutput(serializers.Serializer[JobEvent]):
    """One event of a job's history."""

    what = serializers.ChoiceField(choices=JobEvent.What.choices)
    at = MomentField()
    by = serializers.SerializerMethodField(
        help_text="The user, also if their account is gone; null for the engine itself."
    )
    old_run_at = MomentField(allow_null=True)
    new_run_at = MomentField(allow_null=True)
    reason = serializers.CharField(source="why", help_text="In the language of the request.")
    error = serializers.SerializerMethodField(help_text="Of a failed attempt: the error's class.")
    request_id = serializers.CharField(
        help_text="The `X-Request-ID` of the request that asked for it; empty for none."
    )

    def get_by(self, event: JobEvent) -> str | None:
        """Return the user's name."""
        return name_for_programs(event, "by")

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
    run_at = MomentField(help_text="The requested time.")
    local_time = serializers.CharField(
        help_text="What was chosen in a time zone, as `2026-03-01T09:00:00+09:00[Asia/Seoul]` (RFC"
        " 9557); empty for an instant."
    )
    next_attempt_at = serializers.SerializerMethodField(
        help_text="When a worker runs it next; null when it is finished."
    )
    finished_at = MomentField(allow_null=True)
    lateness_ms = serializers.FloatField(
        allow_null=True, help_text="Milliseconds from `run_at` until it succeeded, if it did."
    )
    attempts = serializers.IntegerField()
    reason = serializers.CharField(source="why", help_text="In the language of the request.")
    params = serializers.DictField(
        allow_null=True, help_text="What its kind needs besides the item and the time."
    )
    scheduled_by = serializers.SerializerMethodField(
        help_text="The user who scheduled it, also if their account is gone."
    )
    request_id = serializers.CharField(
        help_text="The `X-Request-ID` of the request that last scheduled, moved or reran it; empty"
        " for none."
    )
    created_at = MomentField()

    def get_model(self, job: Job) -> str:
        """Return the item's type."""
        found = ContentType.objects.get_for_id(job.content_type_id)
        return f"{found.app_label}.{found.model}"

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_next_attempt_at(self, job: Job) -> str | None:
        """Return the time of the next attempt of an open job."""
        return MomentField().to_representation(job.next_attempt_at) if job.is_open else None

    def get_scheduled_by(self, job: Job) -> str | None:
        """Return the user's name."""
        return name_for_programs(job, "scheduled_by")


class JobDetail(JobOutput):
    """A job with its history, the oldest event first."""

    events = EventOutput(many=True)


class JobInput(ZoneInput):
    """Which item of any type is to change, how and when."""

    model = TypeField(max_length=200, help_text="A type of content: `story`, or `content.story`.")
    id = IdField()
    kind = ChoiceField(choices=KINDS)
    run_at = MomentField(help_text="In the future, by the database's clock.")
    params = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="What the kind needs besides the item and the time; publish needs none.",
    )


class MoveInput(ZoneInput):
    """The new time."""

    run_at = MomentField(help_text="In the future, by the database's clock.")


class RerunFilterInput(StrictInput):
    """Which failed jobs: those that match every given filter; without one, all."""

    ids = ListField(child=IdField(), required=False, min_length=1, max_length=1000)
    state = ChoiceField(choices=[(State.FAILED.value, "failed")], required=False)
    kind = ChoiceField(choices=KINDS, required=False)
    item = ItemField(required=False, max_length=200, help_text="As `story:42`.")
    run_at_after = MomentField(required=False, is_bound=True)
    run_at_before = MomentField(required=False, is_bound=True)
    since = MomentField(required=False, is_bound=True, help_text="That failed since then.")


class RerunInput(RerunFilterInput, ReasonInput):
    """
    Which failed jobs are to run again.

    Safe to repeat: a job that already runs again is skipped.
    """

    filter = RerunFilterInput(required=False, help_text="The filters may also be sent in here.")
    dry_run = YesNoField(default=False, help_text="Say what would happen, and do nothing.")


class RerunAnswer(serializers.Serializer[Any]):
    """The outcome of one job."""

    job = serializers.IntegerField()
    outcome = serializers.ChoiceField(choices=["rerun", "already", "refused", "failed"])
    text = serializers.CharField()
    item = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=KINDS, allow_null=True)
    code = serializers.CharField(allow_null=True, help_text="Of a refusal.")


class RerunSummary(serializers.Serializer[Any]):
    """How many jobs had each outcome."""

    rerun = serializers.IntegerField()
    already = serializers.IntegerField()
    refused = serializers.IntegerField()
    failed = serializers.IntegerField()


class RerunOutput(serializers.Serializer[Any]):
    """The outcomes of the selected jobs, at most a thousand at once."""

    dry_run = serializers.BooleanField()
    has_more = serializers.BooleanField(help_text="There are more: repeat the request.")
    summary = RerunSummary()
    jobs = RerunAnswer(many=True)


def content_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the content, without those of the schedule."""
    return {name: value for name, value in values.items() if name not in ItemInput.ENGINE}
