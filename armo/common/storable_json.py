"""JSON that people and programs send: not too deep for code, and such as PostgreSQL stores."""

import json
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100
TOO_DEEP = f"More than {MAX_DEPTH} values inside one another"
NOT_STORABLE = "A number or a character that cannot be stored"


def is_too_deep(value: Any) -> bool:
    """Return whether lists and objects are nested too deeply; without recursion."""
    level: list[Any] = [value]
    for _depth in range(MAX_DEPTH):
        level = [part for each in level for part in _parts(each) if isinstance(part, list | dict)]
        if not level:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class StorableDecoder(json.JSONDecoder):
    """A decoder that refuses what would fail later, as `JSONDecodeError` like any other fault."""

    def decode(self, s: str, *args: Any) -> Any:
        """
        Return the value.

        :raises json.JSONDecodeError: it is not JSON, too deep, or PostgreSQL cannot store it.
        """
        try:
            value = super().decode(s, *args)
        except RecursionError as error:
            raise json.JSONDecodeError(TOO_DEEP, s, 0) from error
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # a number of thousands of digits
            raise json.JSONDecodeError(NOT_STORABLE, s, 0) from error
        if is_too_deep(value):
            raise json.JSONDecodeError(TOO_DEEP, s, 0)
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            text.encode()  # lone surrogates cannot be
        except ValueError as error:
            raise json.JSONDecodeError(NOT_STORABLE, s, 0) from error
        # In what `dumps` returns, each other backslash is two.
        if "\\u0000" in text.replace("\\\\", ""):
            raise json.JSONDecodeError(NOT_STORABLE, s, 0)
        return value
