"""What is refused is refused in the reader's language."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from django.utils import translation

import armo
import content
import scheduling
from scheduling.errors import DomainError
from scheduling.models.references import ItemNotFound


def all_errors() -> list[type[DomainError]]:
    """Return every error of the project, whatever module defines it; a test's own are its own."""
    for package in (armo, scheduling, content):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.name.endswith((".wsgi", ".run")):
                importlib.import_module(module.name)
    ours = [error for error in _below(DomainError) if not error.__module__.startswith("tests.")]
    return sorted(ours, key=lambda error: f"{error.__module__}.{error.__name__}")


def _below(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _below(subclass)


ERRORS = pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)


class TestEveryError:
    @ERRORS
    def test_has_a_message_that_is_a_sentence(self, error: type[DomainError]) -> None:
        message = error.default_message()

        assert message[0].isupper()
        assert message.endswith(".")

    @ERRORS
    def test_has_it_in_korean(self, error: type[DomainError]) -> None:
        with translation.override("ko"):
            message = error.default_message()

        assert any("가" <= letter <= "힣" for letter in message)

    @ERRORS
    def test_has_a_code_for_programs(self, error: type[DomainError]) -> None:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", error.code)
        assert error.__subclasses__() or error.code != DomainError.code

    def test_speaks_the_language_that_is_active_when_it_is_read(self) -> None:
        error = ItemNotFound()

        with translation.override("ko"):
            korean = str(error)

        assert str(error) == "There is no such item."
        assert korean != str(error)
