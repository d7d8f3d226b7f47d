"""The API's input and output of stories and notices."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from armo.common.addresses import absolute
from armo.common.api.fields import ChoiceField, ListField, MomentField, SlugField, TextField
from content.models import MAX_BODY, Notice, Rendered, Story, TitledBody
from content.text import (
    as_language,
    as_line,
    as_name,
    as_slug,
    compose,
    is_visible,
    validate_language,
)
from scheduling.api.serializers import ItemInput, ItemOutput
from scheduling.models import VISIBLE

MAX_WORDS, MAX_WORD = 100, 100


# `VISIBLE` in characters that are visible themselves, in every dialect of regular expressions;
# not every dialect has characters beyond U+FFFF.
_bmp = re.sub("[\U00010000-\U0010ffff]-?", "", VISIBLE)
SEEN = re.sub("[^!-~]", lambda found: f"\\u{ord(found[0]):04x}", _bmp)


@extend_schema_field({"type": "string", "maxLength": MAX_WORD, "pattern": SEEN})
class NameField(TextField):
    """A name, such as a category's: not blank, and without blanks around it."""

    def __init__(self) -> None:
        super().__init__(max_length=MAX_WORD, trim_whitespace=True)

    def to_internal_value(self, data: Any) -> str:
        """Return the name in NFC."""
        name = as_name(super().to_internal_value(data))
        if not is_visible(name):
            self.fail("blank")
        return name


class ComposedField(TextField):
    """A text in NFC; its length is checked afterwards."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        return compose(super().to_internal_value(data))


class LineField(TextField):
    """A line of text, in NFC; its length is checked afterwards."""

    def to_internal_value(self, data: Any) -> str:
        """Return the line without blanks around it."""
        return as_line(super().to_internal_value(data))


class StorySlugField(SlugField):
    """A slug in NFC."""

    def to_internal_value(self, data: Any) -> str:
        """Return the slug."""
        return as_slug(super().to_internal_value(data))


class LanguageField(TextField):
    """The tag of a language."""

    def to_internal_value(self, data: Any) -> str:
        """Return the tag in the standard's spelling."""
        tag = as_language(super().to_internal_value(data))
        if tag:
            validate_language(tag)
        return tag


def words(help_text: str) -> ListField:
    """Return a field for a list of names."""
    return ListField(child=NameField(), required=False, max_length=MAX_WORDS, help_text=help_text)


@extend_schema_field({"type": "string", "maxLength": MAX_BODY})
class BodyField(ComposedField):
    """
    A text that is rendered.

    Saving checks it: a program may send back what an earlier version stored, however long it is.
    """


class TitledInput(ItemInput):
    """Input of every type of content here; in a draft all fields may be missing."""

    READ_ONLY = (*ItemInput.READ_ONLY, "author")

    title = LineField(required=False, max_length=200, allow_blank=True)
    body = BodyField(
        required=False,
        allow_blank=True,
        help_text="Markdown: CommonMark, with tables, footnotes and task lists.",
    )


class StoryInput(TitledInput):
    """Input of a story."""

    slug = StorySlugField(
        required=False,
        max_length=200,
        allow_unicode=True,
        help_text="The end of its address; made from the title when it is left out.",
    )
    summary = ComposedField(required=False, max_length=10_000, allow_blank=True)
    byline = LineField(
        required=False,
        max_length=200,
        allow_blank=True,
        help_text="Who wrote it, as readers see it.",
    )
    categories = words("Their names; those that do not exist yet are made.")
    tags = words("Their names; those that do not exist yet are made.")
    keywords = words("Words for machines.")
    language = LanguageField(
        required=False, max_length=16, allow_blank=True, help_text="As BCP 47 has it: `en`, `ko`."
    )


class NoticeInput(TitledInput):
    """Input of a notice."""

    severity = ChoiceField(choices=Notice.Severity.choices, required=False)


class TitledRow(ItemOutput):
    """A row of a list: everything but the text."""

    title = serializers.CharField()
    author = serializers.IntegerField(
        source="author_id", allow_null=True, help_text="The user who wrote it here."
    )
    created_at = MomentField()
    updated_at = MomentField(help_text="When what it says was last changed.")


class BodyOutput(serializers.Serializer[TitledBody]):
    """The text as Markdown and as HTML."""

    body = serializers.CharField(help_text="Markdown.")
    body_html = serializers.SerializerMethodField(help_text="HTML, cleaned of whatever could run.")

    def get_body_html(self, item: TitledBody) -> str:
        """Query the HTML of the text."""
        return str(Rendered.objects.html(item.body))


class StoryRow(TitledRow):
    """A story in a list, without its text."""

    slug = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="Where readers find it, once it is live.")
    summary = serializers.CharField()
    byline = serializers.CharField()
    categories = serializers.SerializerMethodField()
    tags = serializers.SerializerMethodField()
    keywords = serializers.ListField(child=serializers.CharField())
    language = serializers.CharField()

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_url(self, story: Story) -> str:
        """Return the URL of the story's page."""
        return absolute(self.context["request"], story.get_absolute_url())

    def get_categories(self, story: Story) -> list[str]:
        """Return their names."""
        return names(story, "categories")

    def get_tags(self, story: Story) -> list[str]:
        """Return their names."""
        return names(story, "tags")


def names(item: Any, field: str) -> list[str]:
    """
    Return the names of an item's categories or tags, in order.

    The view has prefetched them; for a row that an operation has locked they are queried.
    """
    words = getattr(item, f"all_{field}", None)
    return sorted(word.name for word in (getattr(item, field).all() if words is None else words))


class StoryOutput(StoryRow, BodyOutput):
    """A story."""


class NoticeRow(TitledRow):
    """A notice in a list, without its text."""

    severity = serializers.ChoiceField(choices=Notice.Severity.choices)


class NoticeOutput(NoticeRow, BodyOutput):
    """A notice."""
