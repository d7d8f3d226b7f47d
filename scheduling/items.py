"""Items by name: `story:42`, or `content.story:42` where two applications have a `story`."""

from armo.errors import DomainError
from scheduling.models import Schedulable, schedulable_models


class UnknownModel(DomainError):
    """There is no such type of content."""

    code = "unknown_model"


class ItemNotFound(DomainError):
    """There is no such item."""

    code = "not_found"


class MalformedItem(DomainError):
    """An item is named as type and number, such as story:42."""

    code = "validation_error"


def find_model(name: str) -> type[Schedulable]:
    """
    Return the type of content called `story` or `content.story`.

    :raises UnknownModel: also when two applications have one of that name.
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
    raise UnknownModel(f"{UnknownModel.default_message()} ({name}; {known})")


def find_item(name: str) -> Schedulable:
    """
    Return the item called `story:42` or `content.story:42`.

    :raises MalformedItem: it is no type and number.
    :raises UnknownModel:
    :raises ItemNotFound:
    """
    model_name, separator, number = name.partition(":")
    if not (separator and model_name and number.isascii() and number.isdigit()):
        raise MalformedItem(f"{MalformedItem.default_message()} ({name})")
    model = find_model(model_name)
    pk = int(number)
    # Beyond a bigint PostgreSQL would refuse the comparison.
    item = model._base_manager.filter(pk=pk).first() if pk < 2**63 else None
    if item is None:
        raise ItemNotFound(f"{ItemNotFound.default_message()} ({name})")
    return item
