"""Filters of stories and notices, beside those of every type of item."""

# mypy: disallow-subclassing-any=false

from typing import Any

import django_filters
from django.contrib.auth import get_user_model
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError

from content import search
from content.models import Notice, Story
from content.text import NameFormField
from scheduling.access.permissions import sees_all
from scheduling.api.filters import ItemFilters
from scheduling.models.references import parse_id


class TitledFilters(ItemFilters):
    """Items by author."""

    author = django_filters.CharFilter(
        method="by_author",
        max_length=150,
        help_text="The author's id; for who sees all items, also a user name, or one's own.",
    )

    def by_author(self, items: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """
        Keep the items of one author.

        :raises ValidationError: it is a name, and the person may not learn who has a login: an
            answer shows readers ids alone, and bylines.
        """
        pk = parse_id(value)
        if pk is not None:
            return items.filter(author_id=pk)
        name = get_user_model().normalize_username(value)
        user = self.request.user
        if not (sees_all(user, items.model) or user.get_username() == name):
            raise ValidationError({"author": [_("Give the author's id.")]})
        users = get_user_model()._default_manager.filter(**{get_user_model().USERNAME_FIELD: name})
        return items.filter(author_id=users.values_list("pk", flat=True).first() or 0)


class NameFilter(django_filters.CharFilter):
    """A name, in any normal form."""

    field_class = NameFormField


class StoryFilters(TitledFilters):
    """Stories by author, category, tag, language, and full text."""

    category = NameFilter(method="by_word", max_length=100, help_text="A category's name.")
    tag = NameFilter(method="by_word", max_length=100, help_text="A tag's name.")
    language = django_filters.CharFilter(max_length=16, help_text="As it is set: `en`, `ko`.")
    search = django_filters.CharFilter(
        method="by_text",
        help_text="Words, each of which occurs, or begins another; in CJK also inside another.",
    )

    class Meta:
        model = Story
        fields: tuple[str, ...] = ()

    def by_word(self, stories: QuerySet[Story], name: str, value: str) -> QuerySet[Story]:
        """Keep the stories with a category, or a tag."""
        field = Story._meta.get_field({"category": "categories", "tag": "tags"}[name])
        words: type[Model] = field.related_model  # type: ignore[assignment]  # of a relation it is one
        # The id is queried first: with it PostgreSQL estimates the number of rows well.
        pk = words._default_manager.filter(name=value).values_list("pk", flat=True).first()
        if pk is None:
            return stories.none()
        through = field.remote_field.through._default_manager  # type: ignore[union-attr]
        link = {"story_id": OuterRef("pk"), f"{words._meta.model_name}_id": pk}
        return stories.filter(Exists(through.filter(**link)))

    def by_text(self, stories: QuerySet[Story], name: str, value: str) -> QuerySet[Story]:
        """Keep the stories with all of these words."""
        return search.find(stories, value)


class NoticeFilters(TitledFilters):
    """Notices by author and severity."""

    severity = django_filters.ChoiceFilter(
        choices=Notice.Severity.choices, help_text="Of this severity."
    )

    class Meta:
        model = Notice
        fields: tuple[str, ...] = ()
