"""The API of stories and notices; what all types share is in `scheduling.api.viewsets`."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view

from content import markdown
from content.filters import NoticeFilters, StoryFilters
from content.models import Category, Notice, Story, Tag
from content.serializers import (
    NoticeInput,
    NoticeOutput,
    NoticeRow,
    StoryInput,
    StoryOutput,
    StoryRow,
    names,
)
from scheduling.api.serializers import EXAMPLE_END, EXAMPLE_TIME
from scheduling.api.viewsets import SchedulableViewSet
from scheduling.models import Schedulable

WORDS: dict[str, type[Category] | type[Tag]] = {"categories": Category, "tags": Tag}

STORY = OpenApiExample(
    "scheduled",
    value={
        "title": "Harvest",
        "body": "The **first** apples are in.",
        "tags": ["garden"],
        "status": "scheduled",
        "publish_at": EXAMPLE_TIME,
    },
    request_only=True,
)
MOVED = OpenApiExample("moved", value={"publish_at": EXAMPLE_TIME}, request_only=True)
NOTICE = OpenApiExample(
    "with an end",
    value={
        "title": "The lift is resting",
        "body": "Until noon.",
        "severity": "warning",
        "status": "scheduled",
        "publish_at": EXAMPLE_TIME,
        "unpublish_at": EXAMPLE_END,
    },
    request_only=True,
)


class TitledViewSet(SchedulableViewSet):
    """What the types of content here share."""

    def parts(self, item: Schedulable) -> tuple[object, ...]:
        """Return the renderer, whose HTML a response shows."""
        return *super().parts(item), markdown.RENDERER


@extend_schema_view(
    list=extend_schema(responses={200: StoryRow(many=True)}),
    retrieve=extend_schema(responses={200: StoryOutput}),
    create=extend_schema(request=StoryInput, responses={201: StoryOutput}, examples=[STORY]),
    partial_update=extend_schema(
        request=StoryInput, responses={200: StoryOutput}, examples=[MOVED]
    ),
    destroy=extend_schema(responses={204: None}),
)
class StoryViewSet(TitledViewSet):
    """Stories."""

    model = Story
    queryset = Story.objects.none()
    input_class = StoryInput
    output_class = StoryOutput
    row_class = StoryRow
    filterset_class = StoryFilters

    def rows(self) -> QuerySet[Story]:
        """Return all stories, with the names of their categories and tags."""
        words = [Prefetch(name, to_attr=f"all_{name}") for name in WORDS]
        stories = Story.objects.prefetch_related(*words).defer("imported")
        # A list shows no texts, which are long.
        return stories.defer("body", "extra", "imported") if self.action == "list" else stories

    def parts(self, item: Schedulable) -> tuple[object, ...]:
        """Return the names, which change without a new version of the story."""
        return *super().parts(item), names(item, "categories"), names(item, "tags")

    def write(self, item: Schedulable, fields: dict[str, Any]) -> None:
        """Save a story with its categories and tags."""
        assert isinstance(item, Story)
        chosen = {name: fields.pop(name) for name in WORDS if name in fields}
        super().write(item, fields)
        for name, wanted in chosen.items():
            getattr(item, name).set(_words(WORDS[name], wanted))


@extend_schema_view(
    list=extend_schema(responses={200: NoticeRow(many=True)}),
    retrieve=extend_schema(responses={200: NoticeOutput}),
    create=extend_schema(request=NoticeInput, responses={201: NoticeOutput}, examples=[NOTICE]),
    partial_update=extend_schema(
        request=NoticeInput, responses={200: NoticeOutput}, examples=[MOVED]
    ),
    destroy=extend_schema(responses={204: None}),
)
class NoticeViewSet(TitledViewSet):
    """Notices."""

    model = Notice
    queryset = Notice.objects.none()
    input_class = NoticeInput
    output_class = NoticeOutput
    row_class = NoticeRow
    filterset_class = NoticeFilters

    def rows(self) -> QuerySet[Notice]:
        """Return all notices."""
        return Notice.objects.defer("body") if self.action == "list" else Notice.objects.all()


def _words(model: Any, wanted: list[str]) -> list[Any]:
    """Return the rows with these names; insert the missing ones, also while others do so."""
    # In a fixed order, so that two requests that insert the same names do not deadlock.
    names = sorted(set(wanted))
    model._default_manager.bulk_create([model(name=name) for name in names], ignore_conflicts=True)
    return list(model._default_manager.filter(name__in=names))
