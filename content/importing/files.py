"""The files of an import: which are posts, and what they contain."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from content.frontmatter import MAX_BYTES, Post, PostError, Shortcodes, parse
from content.importing.pages import OTHER_SUFFIXES, SUFFIXES, Pages
from content.importing.reasons import reason
from content.importing.results import Outcome
from content.importing.sites import Sites
from scheduling.errors import Why


@dataclass(frozen=True)
class Found:
    """
    A file to import, or, with a reason, one to skip, or a folder.

    :param top: the folder that was given; None if the file itself was.
    :param pages: of its site.
    """

    path: Path
    outcome: Outcome | None = None
    reason: Why = ""
    top: Path | None = None
    pages: Pages | None = None

    @property
    def name(self) -> str:
        """Return the path as text; bytes that are not UTF-8 become question marks."""
        return os.fsencode(self.path).decode("utf-8", "replace")


def is_post(path: Path) -> bool:
    """Return whether the file has the name of a post."""
    return path.suffix.lower() in SUFFIXES


def find_posts(
    paths: Iterable[Path], *, zone: tzinfo | None = None, shortcodes: Shortcodes = Shortcodes.DRAFT
) -> list[Found]:
    """
    Return the posts among and below the paths, and what else their tools might read, each once.

    Hidden files and folders are skipped silently. Symbolic links below a folder are not followed:
    they could lead anywhere, also in a circle.

    :param zone: of times without an offset; None is that of the site.
    """
    found: dict[str, Found] = {}
    for path in paths:
        folder = path if path.is_dir() else path.parent
        finder = _Finder(folder, zone=zone, shortcodes=shortcodes)
        for post in finder.walk() if path.is_dir() else [finder.look_at(path)]:
            found.setdefault(os.path.abspath(post.path), post)
    return list(found.values())


class _Finder:
    """Finds the posts below one folder."""

    def __init__(self, top: Path, *, zone: tzinfo | None, shortcodes: Shortcodes) -> None:
        self._top = top
        self._real_top = Path(os.path.realpath(top))
        self._zone = zone
        self._shortcodes = shortcodes
        self._sites = Sites(self._real_top)
        self._pages: dict[object, Pages] = {}

    def walk(self) -> Iterator[Found]:
        """Find everything, in a fixed order."""
        unreadable: list[OSError] = []
        for folder, folders, files in os.walk(self._top, onerror=unreadable.append):
            kept = []
            for path in (Path(folder, name) for name in sorted(folders)):
                if path.name.startswith("."):
                    continue
                if path.is_symlink():
                    yield Found(path, Outcome.SKIPPED, reason("link"))
                elif why := self._pages_of(path).find_reason(self._resolve(path), is_folder=True):
                    if _has_posts(path):
                        yield Found(path, Outcome.SKIPPED, why)
                else:
                    kept.append(path.name)
            folders[:] = kept
            for path in (Path(folder, name) for name in sorted(files)):
                if not path.name.startswith(".") and _may_be_post(path):
                    yield self.look_at(path, top=self._top)
        for error in unreadable:
            yield Found(Path(error.filename), Outcome.FAILED, error.strerror or str(error))

    def look_at(self, path: Path, *, top: Path | None = None) -> Found:
        """Return what is known of a file without reading it."""
        if top and path.is_symlink():
            return Found(path, Outcome.SKIPPED, reason("link"))
        pages = self._pages_of(path)
        if why := pages.find_reason(self._resolve(path)):
            return Found(path, Outcome.SKIPPED, why)
        if not is_post(path):
            return Found(path, Outcome.SKIPPED, reason("format", suffix=path.suffix))
        return Found(path, top=top, pages=pages)

    def _resolve(self, path: Path) -> Path:
        """Return the absolute path; below the top there are no links, except the last name."""
        return self._real_top / path.relative_to(self._top)

    def _pages_of(self, path: Path) -> Pages:
        site = self._sites.find(self._resolve(path))
        key = (site.root, site.tool)
        if key not in self._pages:
            self._pages[key] = Pages(site, zone=self._zone, shortcodes=self._shortcodes)
        return self._pages[key]


def _may_be_post(path: Path) -> bool:
    """Return whether one of the tools could read the file, whether Armo can or not."""
    return path.suffix.lower() in (*SUFFIXES, *OTHER_SUFFIXES)


def _has_posts(folder: Path) -> bool:
    return any(_may_be_post(Path(name)) for _, _, files in os.walk(folder) for name in files)


def read(path: Path, pages: Pages | None = None) -> Post:
    """
    Read one file, as the tool of its site reads it.

    :param pages: of its site; None to find it.
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
    # A link that was given by name is where the link is.
    absolute = Path(os.path.realpath(path.parent), path.name)
    pages = pages or Pages(Sites(absolute.parent).find(absolute))
    post = parse(data, path=absolute, reading=pages.how_to_read(absolute))
    pages.has_local_times |= post.has_local_time
    return post
