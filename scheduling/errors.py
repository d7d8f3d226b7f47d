"""What an operation may refuse. Doors turn these into answers; see `DomainError`."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext


class DomainError(Exception):
    """The request cannot be done."""

    # The first line of a subclass's docstring is its message, translated when it is read;
    # `code` is what programs compare, and never changes once published.
    code = "domain_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message or self.default_message()

    def facts(self) -> dict[str, Any]:
        """Return what a program may want to know of it, beside its code and its text."""
        return {}

    @classmethod
    def default_message(cls) -> str:
        """Return the message of an error raised without one, in the active language."""
        return gettext((cls.__doc__ or "").strip().partition("\n")[0])


class ProblemsError(DomainError):
    """There are problems."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__()

    def __str__(self) -> str:
        return " ".join([self.default_message(), *self.problems])

    def facts(self) -> dict[str, Any]:
        """Return the problems, one by one."""
        return {"problems": self.problems}
