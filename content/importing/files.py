"""The files of an import: which are posts, and what they contain."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils import timezone

from content.frontmatter import MAX_BYTES, Post, PostError, Reading, parse
from content.importing.reasons import reason
from content.importing.results import Outcome
from scheduling.errors import Why

SUFFIXES = (".md", ".markdown")


@dataclass(frozen=True)
class Found:
    """
    A file to import, or, with a reason, one to skip.

    :param top: the folder that was given; None if the file itself was.
    """

    path: Path
    outcome: Outcome | None = None
    reason: Why = ""
    top: Path | None = None

    @property
    def name(self) -> str:
        """Return the path as text; bytes that are not UTF-8 become question marks."""
        return os.fsencode(self.path).decode("utf-8", "replace")


def is_post(path: Path) -> bool:
    """Return whether the file has the name of a Markdown file."""
    return path.suffix.lower() in SUFFIXES


def find_posts(paths: Iterable[Path]) -> list[Found]:
    """
    Return the Markdown files among and below the paths, each once, in a fixed order.

    Hidden files and folders are skipped silently. Symbolic links below a folder are not followed:
    they could lead anywhere, also in a circle.
    """
    found: dict[str, Found] = {}
    for path in paths:
        for post in _walk(path) if path.is_dir() else [Found(path)]:
            found.setdefault(os.path.abspath(post.path), post)
    return list(found.values())


def _walk(root: Path) -> Iterator[Found]:
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(folder, name) for name in folders):
            if path.is_symlink():
                yield Found(path, Outcome.SKIPPED, reason("link"))
        for path in (Path(folder, name) for name in sorted(files)):
            if path.name.startswith(".") or not is_post(path):
                continue
            if path.is_symlink():
                yield Found(path, Outcome.SKIPPED, reason("link"))
            elif path.name.partition(".")[0] == "_index":
                yield Found(path, Outcome.SKIPPED, reason("section_page"))
            else:
                yield Found(path, top=root)
    for error in unreadable:
        yield Found(Path(error.filename), Outcome.FAILED, error.strerror or str(error))


def read(path: Path) -> Post:
    """
    Read one file; times without an offset are in TIME_ZONE.

    :raises PostError: it cannot be read, or makes no sense.
    """
    try:
        # A named pipe would block for ever.
        if not path.is_file():
            raise PostError(reason("not_a_file"))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PostError(error.strerror or str(error)) from error
    return parse(
        data,
        path=Path(os.path.abspath(path)),
        reading=Reading(zone=timezone.get_default_timezone()),
    )
