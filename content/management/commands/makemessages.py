"""`manage.py makemessages`, which also collects the messages of errors."""

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.management.commands import makemessages

import content
import scheduling
from armo import accounts, common
from scheduling.errors import DomainError


class Command(makemessages.Command):
    """Example: manage.py makemessages --locale=ko."""

    # A fuzzy match that nobody has checked is worse than the English text.
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]  # noqa: RUF012 (as Django has it)

    def process_files(self, file_list: list[Any]) -> None:
        """Collect the marked texts, then the messages of errors, which are docstrings."""
        super().process_files(file_list)
        assert self.default_locale_path  # LOCALE_PATHS names one
        template = Path(self.default_locale_path, f"{self.domain}.pot")
        with template.open("a", encoding="utf-8") as file:
            for error in _errors(DomainError):
                msgid = json.dumps(error.default_message(), ensure_ascii=False)
                file.write(f'\nmsgid {msgid}\nmsgstr ""\n')


def _errors(base: type[DomainError]) -> Iterator[type[DomainError]]:
    """Yield an error class and its subclasses, also those of modules not loaded yet."""
    for package in (accounts, common, content, scheduling):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    yield base
    for error in base.__subclasses__():
        yield from _errors(error)
