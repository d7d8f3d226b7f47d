"""
The names of items and ids of rows, as people and programs write them.

An item is `story:42`, or `content.story:42` where two applications have a `story`.
"""

import re

from django.utils.text import Truncator
from django.utils.translation import gettext_noop

from scheduling.errors import DomainError
from scheduling.models.item import Schedulable, schedulable_models

# A regular expression, for Python and JSON Schema. Every number of 18 digits fits into a bigint.
ID_PATTERN = "[0-9]{1,18}"


class UnknownModel(DomainError):
    """There is no such type of content."""

    code = "unknown_model"


class ItemNotFound(DomainError):
    """There is no such item."""

    code = "not_found"


class MalformedItem(DomainError):
    """An item is named as type and number, such as story:42."""

    code = "validation_error"


def names_of_types() -> list[str]:
    """Return the names of the types of content: `story`, and `content.story`."""
    models = schedulable_models()
    return sorted(it for m in models for it in (str(m._meta.model_name), m._meta.label_lower))


def item_pattern() -> str:
    """Return the regular expression, for JSON Schema, that names of items match."""
    types = "|".join(names_of_types()).replace(".", "[.]")
    return f"^({types}):{ID_PATTERN}$"


def find_model(name: str) -> type[Schedulable]:
    """
    Return the type of content called `story` or `content.story`.

    :raises UnknownModel: also if two applications have a type of that name.
    """
    name = name.lower()
    found = [
        model
        for model in schedulable_models()
        if name in (model._meta.model_name, model._meta.label_lower)
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(sorted(model._meta.label_lower for model in schedulable_models()))
    raise UnknownModel(
        gettext_noop("There is no such type of content. (%(name)s; %(known)s)"),
        {"name": _one_line(name), "known": known},
    )


def parse_item(name: str) -> tuple[type[Schedulable], int]:
    """
    Return the type and id in `story:42` or `content.story:42`.

    :raises MalformedItem: the text has another form.
    :raises UnknownModel:
    """
    model_name, separator, number = name.partition(":")
    if not name.strip():
        raise MalformedItem
    if not (separator and model_name and number.isascii() and number.isdigit()):
        raise MalformedItem(
            gettext_noop("An item is named as type and number, such as story:42. (%(name)s)"),
            {"name": _one_line(name)},
        )
    model = find_model(model_name)
    pk = parse_id(number)
    if pk is None:
        raise not_found(name)
    return model, pk


def find_item(name: str) -> Schedulable:
    """
    Query the item called `story:42` or `content.story:42`.

    :raises ItemNotFound:

    and what `parse_item` raises.
    """
    model, pk = parse_item(name)
    item = model._base_manager.filter(pk=pk).first()
    if item is None:
        raise not_found(name)
    return item


def not_found(name: str) -> ItemNotFound:
    """Return the refusal of an item that does not exist."""
    return ItemNotFound(
        gettext_noop("There is no such item. (%(name)s)"), {"name": _one_line(name)}
    )


def parse_id(text: str) -> int | None:
    """Return the id in a text; None if no row can have it."""
    return int(text) if re.fullmatch(ID_PATTERN, text) else None


def parse_ids(*texts: str) -> list[int]:
    """Return the ids in texts; texts that are no id are left out."""
    return [pk for pk in map(parse_id, texts) if pk is not None]


def _one_line(name: str) -> str:
    return Truncator(" ".join(name.split())).chars(60)


def title_of(item: Schedulable) -> str:
    """Return the title that a job keeps of its item, which may be deleted before the job."""
    return str(item)[:255]
