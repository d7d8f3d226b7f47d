"""The API of items of every type, and of jobs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, models, transaction
from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from armo.common.addresses import absolute
from armo.common.api import scopes, versions
from armo.common.api.fields import is_blank
from armo.common.api.throttles import BulkThrottle
from armo.common.api.views import ApiViewSet
from scheduling import operations
from scheduling.access.permissions import (
    NotAllowed,
    has_right,
    has_right_to,
    has_right_to_jobs_of,
    has_right_to_some_jobs,
    may_change,
    may_delete,
    sees_all,
    visible_jobs,
    visible_to,
)
from scheduling.api.filters import ItemFilters, JobFilters
from scheduling.api.preconditions import Changed, OfOneInBulk, Preconditions
from scheduling.api.serializers import (
    EXAMPLE_TIME,
    BulkScheduleInput,
    BulkScheduleOutput,
    EventOutput,
    ItemInput,
    JobDetail,
    JobInput,
    JobOutput,
    MoveInput,
    ReasonInput,
    RerunInput,
    RerunOutput,
    ScheduleInput,
    UnscheduleInput,
    content_of,
)
from scheduling.errors import DomainError
from scheduling.models import Job, JobEvent, Kind, Schedulable, Status, status_choices
from scheduling.models.references import ID_PATTERN, ItemNotFound, find_model
from scheduling.models.transitions import invalid_transition
from scheduling.operations.rerun_many import failed_ids, rerun_one, summary
from scheduling.queries.cache_lifetime import Freshness
from scheduling.queries.problems import problems_of

METHODS = ("get", "head", "options", "post", "patch", "delete")
RERUN_AT_ONCE = 1000
EVENTS_SHOWN = 1000

LATER = OpenApiExample("later", value={"publish_at": EXAMPLE_TIME}, request_only=True)
THREE = OpenApiExample(
    "three", value={"ids": [1, 2, 3], "publish_at": EXAMPLE_TIME}, request_only=True
)
TAKE_DOWN = OpenApiExample(
    "take down",
    value={"model": "notice", "id": 7, "kind": "unpublish", "run_at": EXAMPLE_TIME},
    request_only=True,
)
SEE_FIRST = OpenApiExample(
    "see first", value={"kind": "publish", "dry_run": True}, request_only=True
)


class Taken(DomainError):
    """There is another with this already."""

    code = "validation_error"

    def __init__(self, fields: Sequence[str], other: Schedulable | None) -> None:
        """
        Say which item has the values of these fields.

        :param other: None if the person may not see it.
        """
        label = {} if other is None else {"item": other.label}
        text = gettext_noop("There is another with this already: %(item)s.")
        super().__init__(text if label else "", label)
        self.fields, self.other = fields, other

    def facts(self) -> dict[str, Any]:
        """Return an error for each field."""
        error: dict[str, Any] = {"code": "unique", "detail": " ".join(map(str, self.reasons()))}
        if self.other is not None:
            error["item"] = self.other.pk
        return {"errors": [{"field": field, **error} for field in self.fields]}


class ItemRights(BasePermission):
    """The rights that each route needs; the view's queryset limits what is visible at all."""

    # By the view's action: any one of these.
    NEEDED: ClassVar[dict[str, tuple[str, ...]]] = {
        "create": ("add",),
        "partial_update": ("change", "schedule"),
        "destroy": ("delete",),
        "schedule": ("schedule",),
        "unschedule": ("schedule",),
        "bulk_schedule": ("schedule",),
        "publish": ("publish",),
        "unpublish": ("publish",),
    }

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(view, SchedulableViewSet) or view.action in ("list", "retrieve"):
            return True
        rights = self.NEEDED.get(view.action or "", ())
        return not rights or any(has_right(request.user, it, view.model) for it in rights)


class SchedulableViewSet(ApiViewSet):
    """
    The API of one type of content.

    A type sets its serializers (`input_class`, `output_class`, `row_class` of lists) and filters,
    and overrides `write` if more is to be done than saving its fields.
    """

    model: type[Schedulable]
    input_class: type[ItemInput]
    output_class: type[BaseSerializer[Any]]
    row_class: type[BaseSerializer[Any]]
    filterset_class: type[ItemFilters] = ItemFilters
    permission_classes = (ItemRights,)
    http_method_names = METHODS
    lookup_value_regex = ID_PATTERN
    orderings = ("id", "publish_at", "published_at")
    is_versioned = True
    # With the tags of all its items.
    compared_on = ("bulk_schedule",)
    is_public_to_read = True
    # What the docstrings here call a row; the OpenAPI document has the type's own name instead.
    generic_name = "item"

    # The first viewset of each type.
    by_model: ClassVar[dict[type[Schedulable], type["SchedulableViewSet"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "model" in vars(cls):
            cls.by_model.setdefault(cls.model, cls)
            scopes.TYPES[cls.model._meta.label_lower] = cls.model

    @property
    def is_translated(self) -> bool:
        """Whether the answer says why items have failed; to the public it does not."""
        return not self._is_public()

    # What a type may change

    def rows(self) -> QuerySet[Any]:
        """Return all items, joined with the other tables that a response shows."""
        return self.model._default_manager.all()

    def parts(self, item: Schedulable) -> tuple[object, ...]:
        """Return what a response shows but the item's version does not cover."""
        # When the owner's account is deleted, the item has no owner but the same version.
        return (getattr(item, f"{self.model.OWNER}_id"),) if self.model.OWNER else ()

    def write(self, item: Schedulable, fields: dict[str, Any]) -> None:
        """Save the fields of the content."""
        for name, value in fields.items():
            setattr(item, name, value)
        item.save()

    # Reading

    def get_queryset(self) -> QuerySet[Any]:
        """Return the items that the user may see; any other is a 404."""
        return visible_to(self.request.user, self.rows())

    def default_ordering(self) -> str:
        """Return the newest first: by when they went live, if all of them have."""
        asked = self.request.query_params
        was_live = asked.get("status") == Status.PUBLISHED or asked.keys() & {
            "published_after",
            "published_before",
        }
        return "-published_at" if was_live or self._is_public() else "-id"

    def groups_of_rows(self, ordering: str) -> Sequence[Q]:
        """Return one condition for each status, unless one index already has that order."""
        is_one = self._is_public() or "status" in self.request.query_params
        if is_one or (ordering == "id" and sees_all(self.request.user, self.model)):
            return ()
        return [Q(status=status) for status, _label in status_choices()]

    def may_be_empty(self, ordering: str) -> bool:
        """Return whether rows may lack the time; live items always have `published_at`."""
        are_live = self._is_public() or self.request.query_params.get("status") == Status.PUBLISHED
        return not (ordering == "published_at" and are_live)

    def list(self, request: Request) -> Response:
        """List the items that the user may see; without a login, the published ones."""
        self._keep_fresh()
        found = self.filter_queryset(self.get_queryset())
        page = self.paginate_queryset(found)
        context = {**self.get_serializer_context(), "problems": problems_of(page or ())}
        data = self.row_class(page, many=True, context=context).data
        assert self.paginator is not None
        return self.unless_known(self.paginator.get_paginated_response(data))

    def retrieve(self, request: Request, pk: str) -> Response:
        """Read an item; 304 if the client has this version of it."""
        self._keep_fresh(int(pk))
        item = self.get_queryset().filter(pk=pk).first()
        if item is None:
            raise ItemNotFound
        changed = item_changed(item)
        return versions.unless_known(
            request,
            lambda: self._described(item),
            etag=self.etag(item),
            modified_at=changed and changed.at,
        )

    # Writing

    def create(self, request: Request) -> Response:
        """Create an item, and schedule it if that is requested."""
        values = self.parsed(self.input_class)
        if not any(_is_given(it) for name, it in values.items() if name not in ItemInput.NOTES):
            raise ValidationError(_("Nothing is given, such as a title."))
        self._require_schedule_right(values, Status.DRAFT)
        with transaction.atomic():
            item = self.model()
            if self.model.OWNER:
                setattr(item, self.model.OWNER, request.user)
            self._write(item, content_of(values))
            self._note(item, ADDITION, [{"added": {}}])
            self._follow(item, values)
            item = self._read(item.pk)
        where = absolute(request, reverse(f"{self.basename}-detail", args=[item.pk]))
        response = Response(self._described(item), status=201, headers={"Location": where})
        return versions.stamp(response, etag=self.etag(item))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change some fields of an item, and its schedule if that is requested."""
        values = self.parsed(self.input_class, partial=True)
        with self._naming_present(), transaction.atomic():
            item = self._locked()
            fields = content_of(values)
            if fields and not may_change(request.user, item):
                raise NotAllowed
            self._require_schedule_right(values, item.status)
            # What is cancelled may be left incomplete by the same request.
            is_cancelled = values.get("status") == Status.DRAFT
            if is_cancelled:
                self._follow(item, values)
            if fields:
                self._write(item, fields)
                self._note(item, CHANGE, [{"changed": {"fields": sorted(fields)}}])
            if not is_cancelled:
                self._follow(item, values)
            item = self._read(item.pk)
        return versions.stamp(Response(self._described(item)), etag=self.etag(item))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete an item; its open jobs are cancelled."""
        with transaction.atomic():
            item = self._locked()
            if item.is_published:
                scopes.require_scope(request, scopes.PUBLISH)
            if not may_delete(request.user, item):
                raise NotAllowed
            item.delete()
        return Response(status=204)

    @extend_schema(request=ScheduleInput, responses={200: JobOutput}, examples=[LATER])
    @action(detail=True, methods=["post"])
    def schedule(self, request: Request, pk: str) -> Response:
        """Schedule an item for a time; if it is scheduled already, move it."""
        data = self.parsed(ScheduleInput)
        return self._operate(operations.schedule, run_at=data.pop("publish_at"), **data)

    @extend_schema(request=UnscheduleInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def unschedule(self, request: Request, pk: str) -> Response:
        """Cancel the scheduled publish of an item, or its end."""
        return self._operate(operations.unschedule, **self.parsed(UnscheduleInput))

    @extend_schema(request=ReasonInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, pk: str) -> Response:
        """Publish an item now, whatever is scheduled for it."""
        return self._operate(operations.publish_now, **self.parsed(ReasonInput))

    @extend_schema(request=ReasonInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def unpublish(self, request: Request, pk: str) -> Response:
        """Take a live item down now."""
        return self._operate(operations.unpublish_now, **self.parsed(ReasonInput))

    @extend_schema(request=BulkScheduleInput, responses={200: BulkScheduleOutput}, examples=[THREE])
    @action(
        detail=False, methods=["post"], url_path="bulk/schedule", throttle_classes=[BulkThrottle]
    )
    def bulk_schedule(self, request: Request) -> Response:
        """Schedule up to 10,000 items for the same time: all of them, or none."""
        data = self.parsed(BulkScheduleInput)
        ids, at = dict.fromkeys(data["ids"]), data["publish_at"]
        with transaction.atomic():
            asked = self._expected()
            # The tags of items are made of related rows, too.
            rows = self.model._default_manager.all() if asked is None else self.rows()
            items = visible_to(request.user, rows.filter(pk__in=ids))
            # Ten thousand bodies need not be read for this.
            found = {item.pk: item for item in items.defer(*self.model.long_fields())}
            missing = {_with_id(self.model, pk): ItemNotFound() for pk in ids if pk not in found}
            expected = {} if asked is None else _expected_of_many(asked, self.model, found)
            try:
                jobs = operations.schedule_many(
                    items=found.values(),
                    run_at=at,
                    by=self.by,
                    zone=data.get("zone", ""),
                    reason=data["reason"],
                    expected=expected,
                )
            except operations.SomeRefused as refused:
                self._name_present_of(refused.refusals)
                raise operations.SomeRefused({**missing, **refused.refusals}) from refused
            if missing:
                raise operations.SomeRefused(missing)
            done = [{"id": pk, "job": job} for pk, job in jobs.values_list("object_id", "pk")]
        return Response(BulkScheduleOutput({"publish_at": at, "scheduled": done}).data)

    # Steps

    def etag(self, item: Schedulable) -> str:
        """Return the entity tag of an item's present version."""
        return versions.tag(item.pk, item.version, *self.parts(item))

    def _keep_fresh(self, pk: int | None = None) -> None:
        """Query how long the response may be cached; call it before its rows are read."""
        if self._is_public():
            item = None if pk is None else _with_id(self.model, pk)
            self.max_age = Freshness.ask(self.model, item).max_age

    def _is_public(self) -> bool:
        return not self.request.user.is_authenticated

    def _described(self, item: Schedulable) -> Any:
        return self.output_class(item, context=self.get_serializer_context()).data

    def _read(self, pk: int) -> Any:
        return self.rows().get(pk=pk)

    def _expected(self) -> Preconditions | None:
        return Preconditions.read(self.request, self.model, self.etag, item_changed)

    def _asked(self) -> QuerySet[Any]:
        return self.get_queryset().filter(pk=self.kwargs["pk"])

    def _locked(self) -> Any:
        """
        Lock the route's item, and return it.

        :raises ChangedMeanwhile: its version is not the one that the request expects.
        """
        return operations.lock_for_change(items=self._asked(), expected=self._expected())

    def _require_schedule_right(self, values: dict[str, Any], status: str) -> None:
        """Require the right to schedule if the input asks for more than a draft to stay one."""
        asks = {name for name in ItemInput.ENGINE if name in values} - {*ItemInput.NOTES}
        if asks == {"status"} and values["status"] == status == Status.DRAFT:
            return
        if not asks:
            return
        scopes.require_scope(self.request, scopes.SCHEDULE)
        if not has_right(self.request.user, "schedule", self.model):
            raise NotAllowed

    def _write(self, item: Schedulable, fields: dict[str, Any]) -> None:
        try:
            with transaction.atomic():
                self.write(item, fields)
        except IntegrityError as error:
            raise self._field_error(error, item) from error

    def _field_error(self, error: IntegrityError, item: Schedulable) -> Exception:
        """Query which item has the values of a unique constraint; else return the error itself."""
        name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        for constraint in self.model._meta.constraints:
            if constraint.name == name and isinstance(constraint, models.UniqueConstraint):
                values = {field: getattr(item, field) for field in constraint.fields}
                others = self.model._base_manager.filter(**values).exclude(pk=item.pk)
                seen = visible_to(self.request.user, others)
                return Taken(constraint.fields, seen.first())
        return error

    def _note(self, item: Schedulable, flag: int, message: Any) -> None:
        """Add an entry to the admin's history: the edit form warns of changes by others."""
        assert self.request.user.pk is not None  # writing needs a login
        LogEntry.objects.log_actions(
            user_id=self.request.user.pk,
            queryset=[item],
            action_flag=flag,
            change_message=message,
            single_object=True,
        )

    def _follow(self, item: Schedulable, values: dict[str, Any]) -> None:
        """Run the operation that the requested status and times of a locked item ask for."""
        by, reason = self.by, values.get("reason", "")
        chosen = {"by": by, "reason": reason, "zone": values.get("zone", "")}
        status = values.get("status")
        if status == Status.DRAFT:
            if item.status == Status.PUBLISHED:
                raise operations.InvalidTransition(
                    gettext_noop("It is live and cannot become a draft. unpublish/ takes it down.")
                )
            if item.status == Status.UNPUBLISHED:
                raise invalid_transition(item.status, Status.DRAFT)
            if item.status != Status.DRAFT:
                operations.unschedule(item=item, by=by, reason=reason)
        elif status or "publish_at" in values:
            self._follow_start(item, values, chosen)
        elif "unpublish_at" in values:
            end = values["unpublish_at"]
            if end is not None:
                operations.schedule(item=item, run_at=end, kind=Kind.UNPUBLISH, **chosen)
            elif item.unpublish_at is not None:
                operations.unschedule(item=item, kind=Kind.UNPUBLISH, by=by, reason=reason)

    def _follow_start(
        self, item: Schedulable, values: dict[str, Any], chosen: dict[str, Any]
    ) -> None:
        is_scheduled = item.status == Status.SCHEDULED
        if values.get("status") is None and not is_scheduled:
            raise operations.InvalidTransition(
                gettext_noop("It is %(status)s: send status “scheduled” with its time."),
                {"status": {"status": item.status}},
            )
        at = values.get("publish_at") or (item.publish_at if is_scheduled else None)
        if at is None:
            raise ValidationError({"publish_at": [_("It is needed for status “scheduled”.")]})
        end = values.get("unpublish_at", operations.UNCHANGED)
        same_end = end in (operations.UNCHANGED, item.unpublish_at)
        if is_scheduled and at == item.publish_at and same_end:
            return
        operations.schedule(item=item, run_at=at, unpublish_at=end, **chosen)

    def _operate(self, operation: Callable[..., Job], **data: Any) -> Response:
        item = self._asked().first()
        if item is None:
            raise ItemNotFound
        with self._naming_present(), transaction.atomic():
            job = operation(item=item, by=self.by, expected=self._expected(), **data)
            return described(job)

    def _name_present_of(self, refusals: Mapping[Schedulable, DomainError]) -> None:
        """Add to each refusal by status what its item is now."""
        by_status = {
            item.pk: refusal
            for item, refusal in refusals.items()
            if isinstance(refusal, operations.InvalidTransition)
        }
        for item in self.rows().filter(pk__in=by_status):
            by_status[item.pk].present = present(item, self.etag(item))

    @contextmanager
    def _naming_present(self) -> Iterator[None]:
        """Add to a refusal by status what the item is now."""
        try:
            yield
        except operations.InvalidTransition as refusal:
            if item := self._asked().first():
                refusal.present = present(item, self.etag(item))
            raise


def _is_given(value: Any) -> bool:
    """Return whether a value of a request says something."""
    return bool(value) and not (isinstance(value, str) and is_blank(value))


def present(item: Schedulable, etag: str) -> dict[str, Any]:
    """Return what a refusal says of an item, for programs."""
    return {"current_status": item.status, "current_version": item.version, "current_etag": etag}


def described(job: Job, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a job and its entity tag."""
    response = Response(JobOutput(job).data, status=status, headers=headers)
    return versions.stamp(response, etag=job_etag(job))


def job_etag(job: Job) -> str:
    """Query the entity tag of a job's present version: a change is an event, or one of these."""
    last = JobEvent.objects.filter(job=job).aggregate(pk=Max("pk"))["pk"]
    changing = (job.state, job.attempts, job.next_attempt_at, job.item_title)
    return versions.tag(job.pk, last, *changing)


def job_changed(job: Job) -> Changed:
    """Query when a job last changed: each change is an event."""
    found = JobEvent.objects.filter(job=job).aggregate(at=Max("at"), number=Count("pk"))
    return Changed(found["at"] or job.created_at, is_first=found["number"] <= 1)


def item_changed(item: Any) -> Changed | None:
    """
    Query when an item last changed: its text, or by one of its jobs.

    None of a type that does not keep, as `updated_at`, when its text was changed.
    """
    return _changed(item, _last_events(type(item), [item.pk]).get(item.pk))


def _changed(item: Any, last_event_at: datetime | None) -> Changed | None:
    if not hasattr(item, "updated_at"):
        return None
    times = [item.updated_at, item.published_at, last_event_at]
    return Changed(max(at for at in times if at is not None), is_first=item.version == 1)


def _last_events(model: type[Schedulable], ids: Collection[int]) -> dict[int, datetime]:
    """Query when the jobs of items last changed, by the items' ids."""
    events = JobEvent.objects.filter(
        job__content_type=ContentType.objects.get_for_model(model), job__object_id__in=ids
    )
    return dict(events.values_list("job__object_id").annotate(at=Max("at")))


def _expected_of_many(
    asked: Preconditions, model: type[Schedulable], found: Mapping[int, Any]
) -> dict[Any, OfOneInBulk]:
    """Return what is expected of each of many items; query no more than for one."""
    seen = {pk: item.version for pk, item in found.items()}
    last = _last_events(model, found) if "If-Unmodified-Since" in asked.headers else {}

    def changed(item: Any) -> Changed | None:
        is_as_seen = item.version == seen[item.pk]
        return _changed(item, last.get(item.pk)) if is_as_seen else item_changed(item)

    of_many = replace(asked, changed=changed)
    return {item: OfOneInBulk(of_many, item) for item in found.values()}


def item_etag(item: Schedulable) -> str:
    """Return the entity tag that the API gives an item; of a type without routes, of its own."""
    view = SchedulableViewSet.by_model.get(type(item))
    return versions.tag(item.pk, item.version) if view is None else view().etag(item)


def _with_id(model: Any, pk: int) -> Schedulable:
    """Return an unsaved item with this id, for an item that was not read."""
    item: Schedulable = model(pk=pk)
    return item


class JobRights(BasePermission):
    """The right to see jobs, for all types; the other rights, job by job."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return whether the user may do this to any job."""
        user = request.user
        if not user.is_authenticated or not isinstance(view, JobViewSet):
            return False
        if view.action == "create":
            return has_right_to_some_jobs(user, "schedule")
        if not has_right(user, "view", Job):
            return False
        right = view.NEEDED.get(view.action or "")
        return right is None or has_right_to_some_jobs(user, right)

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        assert isinstance(view, JobViewSet)
        right = view.NEEDED.get(view.action or "")
        return right is None or has_right_to(request.user, right, obj)


class JobViewSet(ApiViewSet):
    """The API of the ledger."""

    NEEDED: ClassVar = {
        "move": "schedule",
        "cancel": "schedule",
        "rerun": "rerun",
        "rerun_many": "rerun",
    }
    permission_classes = (IsAuthenticated, JobRights)
    filterset_class = JobFilters
    http_method_names = METHODS
    lookup_value_regex = ID_PATTERN
    orderings = ("id", "run_at")
    is_versioned = True
    # With the item's tag.
    compared_on = ("create",)

    @property
    def is_translated(self) -> bool:
        """Whether there are texts: the reasons of its history."""
        return True

    def get_queryset(self) -> QuerySet[Job]:
        return self._visible(Job.objects.select_related("scheduled_by"))

    def _visible(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        """Keep the jobs that the user may see, of the one type that a key is for."""
        if only := scopes.type_of_key(self.request):
            model = scopes.TYPES[only]
            jobs = jobs.filter(content_type=ContentType.objects.get_for_model(model))
        return visible_jobs(self.request.user, jobs)

    def default_ordering(self) -> str:
        """Return the newest first; of overdue jobs, the oldest first."""
        return "run_at" if self.request.query_params.get("overdue") == "true" else "-id"

    @extend_schema(responses={200: JobOutput(many=True)})
    def list(self, request: Request) -> Response:
        """List jobs: the newest first, or of overdue jobs the oldest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert self.paginator is not None
        data = JobOutput(page or [], many=True).data  # type: ignore[arg-type]  # many of them
        return self.unless_known(self.paginator.get_paginated_response(data))

    @extend_schema(responses={200: JobDetail})
    def retrieve(self, request: Request, pk: str) -> Response:
        """Read a job with its history."""
        job = self.get_object()
        etag = job_etag(job)
        newest = job.events.select_related("by").order_by("-pk")[:EVENTS_SHOWN]
        events = list(reversed(newest))

        def describe() -> dict[str, Any]:
            return {**JobOutput(job).data, "events": [EventOutput(it).data for it in events]}

        modified_at = events[-1].at if events else job.created_at
        return versions.unless_known(request, describe, etag=etag, modified_at=modified_at)

    @extend_schema(
        request=JobInput, responses={200: JobOutput, 201: JobOutput}, examples=[TAKE_DOWN]
    )
    def create(self, request: Request) -> Response:
        """Schedule a change of an item of any type; if it is scheduled already, move it."""
        data = self.parsed(JobInput)
        model = find_model(data.pop("model"))
        scopes.require_type(request, model)
        if not has_right_to_jobs_of(request.user, "schedule", model):
            raise NotAllowed
        item = visible_to(request.user, model._default_manager.filter(pk=data.pop("id"))).first()
        if item is None:
            raise ItemNotFound
        kind = data["kind"]
        expected = Preconditions.read(
            request,
            model,
            item_etag,
            item_changed,
            is_there=lambda row: Job.objects.of(row).open().filter(kind=kind).exists(),
        )
        try:
            job = operations.schedule(item=item, by=self.by, expected=expected, **data)
        except operations.InvalidTransition as refusal:
            item.refresh_from_db()
            refusal.present = present(item, item_etag(item))
            raise
        if not job.is_new:
            return described(job)
        where = absolute(request, reverse("job-detail", args=[job.pk]))
        return described(job, status=201, headers={"Location": where})

    @extend_schema(request=MoveInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        """Give an open job another time."""
        return self._operate(operations.move, **self.parsed(MoveInput))

    @extend_schema(request=ReasonInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel an open job."""
        return self._operate(operations.cancel, **self.parsed(ReasonInput))

    @extend_schema(request=ReasonInput, responses={200: JobOutput})
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: str) -> Response:
        """Run a failed job again: the same job, due at once, its history kept."""
        return self._operate(operations.rerun, **self.parsed(ReasonInput))

    @extend_schema(
        operation_id="rerun_jobs",
        request=RerunInput,
        responses={200: RerunOutput},
        examples=[SEE_FIRST],
    )
    @action(
        detail=False,
        methods=["post"],
        url_path="rerun",
        url_name="rerun-many",
        throttle_classes=[BulkThrottle],
    )
    def rerun_many(self, request: Request) -> Response:
        """Run failed jobs again, each in its own transaction; return the outcome of each."""
        data = self.parsed(RerunInput)
        data = {**data.pop("filter", {}), **data}
        jobs = self._selected(data)
        if "ids" in data:
            seen = set(jobs.filter(pk__in=data["ids"]).values_list("pk", flat=True))
            ids = [pk for pk in dict.fromkeys(data["ids"]) if pk in seen]
        else:
            # One more than is run now, to know whether there are more.
            ids = list(islice(failed_ids(jobs), RERUN_AT_ONCE + 1))
        how = {"by": self.by, "reason": data["reason"], "dry_run": data["dry_run"]}
        answers = [rerun_one(pk, **how) for pk in ids[:RERUN_AT_ONCE]]
        output = {
            "dry_run": data["dry_run"],
            "has_more": len(ids) > RERUN_AT_ONCE,
            "summary": summary(answers),
            "jobs": [answer._asdict() for answer in answers],
        }
        return Response(RerunOutput(output).data)

    def _selected(self, data: dict[str, Any]) -> Any:
        """Return the jobs that match the filters, of those that the user may rerun."""
        jobs: Any = self._visible(Job.objects.all())
        if not has_right(self.request.user, "rerun", Job):
            by = self.request.user
            types = ContentType.objects.all()
            mine = [it.pk for it in types if has_right_to_jobs_of(by, "rerun", it.model_class())]
            jobs = jobs.filter(content_type__in=mine)
        filters = JobFilters(queryset=jobs).filters
        for name in {"kind", "item", "run_at_after", "run_at_before"} & data.keys():
            jobs = filters[name].filter(jobs, data[name])
        return jobs.filter(finished_at__gte=data["since"]) if "since" in data else jobs

    def _operate(self, operation: Callable[..., Job], **data: Any) -> Response:
        try:
            with transaction.atomic():
                job = self.get_object()
                expected = Preconditions.read(self.request, Job, job_etag, job_changed)
                return described(operation(job=job, by=self.by, expected=expected, **data))
        except operations.InvalidTransition as refusal:
            if now := Job.objects.filter(pk=self.kwargs["pk"]).first():
                item = now.find_item()
                refusal.present = {
                    "current_state": now.state,
                    "current_status": item.status if item else None,
                    "current_etag": job_etag(now),
                }
            raise
