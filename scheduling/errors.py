"""The base classes of refusals, which entry points turn into answers."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext


class DomainError(Exception):
    """The request cannot be done."""

    # The first line of a subclass's docstring is its message, and is translated. `code` is for
    # programs, and never changes once published.
    code = "domain_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message or self.default_message()

    def facts(self) -> dict[str, Any]:
        """Return further facts for programs, besides the code and the text."""
        return {}

    @classmethod
    def default_message(cls) -> str:
        """Return the docstring's message in the active language."""
        return gettext((cls.__doc__ or "").strip().partition("\n")[0])


class ProblemsError(DomainError):
    """There are problems."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__()

    def __str__(self) -> str:
        return " ".join([self.default_message(), *self.problems])

    def facts(self) -> dict[str, Any]:
        """Return the problems."""
        return {"problems": self.problems}
