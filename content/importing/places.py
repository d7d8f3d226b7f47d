"""
Where a file is: its site, and its path below the site's folder. The two are its identity.

Neither depends on how the file was named on the command line: links are resolved, and the folder of
the site is found from the file. A site is known again by its folder or, if it has moved, by its
files; see docs/adr/0029.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from content.frontmatter import Post, PostError, Tool
from content.frontmatter.names import is_language_code
from content.importing.files import Found, read
from content.importing.memory import Memory
from content.importing.pages import Pages
from content.importing.sites import Site, Sites
from content.models import ImportSite, NoticeFile, StoryFile

# Files that are compared, to find out whether a folder has those of a site.
SAMPLE = 50
# Folders whose names say nothing about the posts in them.
CONTAINERS = frozenset({"_posts", "_drafts", "_i18n", "content", "src", "pages", "source"})


@dataclass(frozen=True)
class Place:
    """
    Where a file is.

    :param site: unsaved in a dry run, if the site is new.
    :param root: the folder of the site, without symbolic links.
    :param path: below the folder of the site, with slashes, in NFC.
    :param language: of its folder; empty if the folder has none.
    """

    site: ImportSite
    config: Site
    root: Path
    path: str
    language: str

    @cached_property
    def key(self) -> tuple[int, str]:
        """Return the identity of the file, in one run."""
        return id(self.site), self.path

    def language_of(self, post: Post) -> str:
        """Return the language of a post: its own, or that of its folder or site; may be empty."""
        own = self.config.language if self.config.file else ""
        return post.language or self.language or (own if _is_language(own) else "")

    @property
    def is_translation(self) -> bool:
        """Return whether its folder is that of another language than the site's."""
        return self.is_foreign(self.language)

    def is_foreign(self, language: str) -> bool:
        """Return whether a language is another than the site's."""
        own = (self.config.language or settings.LANGUAGE_CODE).lower()
        language = language.lower()
        return bool(language) and own != language and not own.startswith(f"{language}-")

    @cached_property
    def section(self) -> str:
        """Return the innermost folder that says something, as part of a slug; may be empty."""
        *folders, name = self.path.split("/")
        if name.partition(".")[0] == "index":
            folders = folders[:-1]
        for folder in reversed(folders):
            if folder not in CONTAINERS and folder != self.language:
                return slugify(folder, allow_unicode=True).strip("-_")
        return ""


class Places:
    """
    The places of the files of one run.

    :param name: of the site, as the user gave it; empty to find it.
    :param dry_run: store nothing.
    """

    def __init__(self, *, name: str = "", dry_run: bool = False) -> None:
        self.name = name
        self.dry_run = dry_run
        self._known = list(ImportSite.objects.order_by("-pk"))
        self._folders: dict[tuple[Path | None, Path], tuple[ImportSite, Site, Path, Path, str]] = {}
        self._resolved: dict[Path, ImportSite] = {}  # by folder of the site
        self.new: list[ImportSite] = []  # of which nothing was known before
        self._common: Path | None = None  # the folder that has all that was given

    def begin(self, found: Iterable[Found]) -> None:
        """Find the folder of a site that was named: it has all files of the run."""
        if not self.name:
            return
        tops = {os.path.realpath(file.top or file.path.parent) for file in found}
        self._common = Path(os.path.commonpath(tops)) if tops else None

    def locate(self, file: Found) -> Place:
        """Return the place of a file."""
        key = (file.top, file.path.parent)
        if key not in self._folders:
            # Not of the file itself: a link that was given by name is where the link is.
            folder = Path(os.path.realpath(file.path.parent))
            pages = file.pages or Pages(Sites(folder).find(folder / "_"))
            self._folders[key] = self._find(folder, pages)
        site, config, root, folder, language = self._folders[key]
        return Place(site, config, root, _path_below(root, folder / file.path.name), language)

    @property
    def sites(self) -> list[ImportSite]:
        """Return the sites of the files that were located."""
        return list({id(site): site for site in self._resolved.values()}.values())

    def _find(self, folder: Path, pages: Pages) -> tuple[ImportSite, Site, Path, Path, str]:
        config = pages.site
        known = {site.folder for site in self._known if not self.name or site.name == self.name}
        base = self._common or folder
        root = next((it for it in (base, *base.parents) if _as_text(str(it)) in known), None)
        if self._common and root is None:
            is_above = config.file and self._common.is_relative_to(config.root)
            root = config.root if is_above else self._common
        elif root is None or (config.file and root in config.root.parents):
            root = config.root
        if root not in self._resolved:
            self._resolved[root] = self._resolve(root, pages)
        language = _language_of(config, root, folder)
        return self._resolved[root], config, root, folder, language

    # Sites

    def _resolve(self, root: Path, pages: Pages) -> ImportSite:
        """Return the site that has this folder, or a new one."""
        folder, title = _as_text(str(root)), pages.site.name[:200]
        site = self._find_known(root, title, pages)
        if site is not None:
            self._update(site, folder, title)
            return site
        site = ImportSite(name=self.name, folder=folder, title=title)
        if not self.dry_run:
            # Another import may be inserting it.
            where = {} if self.name else {"folder": folder, "title": title}
            site, _is_new = ImportSite.objects.get_or_create(
                name=self.name, **where, defaults={"folder": folder, "title": title}
            )
        self._known.append(site)
        self.new.append(site)
        return site

    def _find_known(self, root: Path, title: str, pages: Pages) -> ImportSite | None:
        if self.name:
            for site in self._known:
                if site.name == self.name:
                    return site
        folder = _as_text(str(root))
        here = [site for site in self._known if site.folder == folder]
        if not self.name:
            same = [site for site in here if site.title == title] or [
                site for site in here if not site.title or not title
            ]
            if len(same) == 1:
                return same[0]
        # It has moved, is a second checkout, or has another title: then it has the same files.
        for site in self._known:
            if self.name and site.name:
                continue
            may_be = site.folder == folder or (title and site.title == title)
            if (may_be or not os.path.isdir(site.folder)) and _has_files_of(site, root, pages):
                return site
        return None

    def _update(self, site: ImportSite, folder: str, title: str) -> None:
        """Store where a site is by now, and what it is called."""
        old = (site.name, site.folder, site.title)
        site.name = self.name or site.name
        site.title = title or site.title
        if self.name or not os.path.isdir(site.folder):
            site.folder = folder
        if self.dry_run or old == (site.name, site.folder, site.title):
            return
        try:
            with transaction.atomic():
                site.save()
        except IntegrityError:  # another site has the same folder and title
            site.name, site.folder, site.title = old


def _has_files_of(site: ImportSite, root: Path, pages: Pages) -> bool:
    """Return whether at least half of a site's files, of the oldest ones, are in the folder."""
    if site.pk is None:
        return False
    same = total = 0
    for model in (StoryFile, NoticeFile):
        rows = model.objects.filter(site=site).order_by("pk").values_list("path", "item__imported")
        for path, value in rows[:SAMPLE]:
            memory = Memory.find(value)
            total += 1
            same += memory is not None and _is_same(root, path, memory, pages)
    return same > 0 and same * 2 >= total


def _is_same(root: Path, path: str, memory: Memory, pages: Pages) -> bool:
    on_disk = find_on_disk(root, path)
    if on_disk is None:
        return False
    try:
        post = read(on_disk, pages)
    except PostError:
        return False
    return memory.has_text(post.title, post.body)


# Paths


def _path_below(root: Path, path: Path) -> str:
    """
    Return the path as it is stored.

    Of two files whose names differ only by Unicode's normal form, the decomposed one stays so.
    """
    below = os.path.relpath(path, root)
    text = _as_text(below)
    composed = unicodedata.normalize("NFC", text)
    if composed != text:
        return text if are_two(root / composed, path) else composed
    return composed


def are_two(one: Path, other: Path) -> bool:
    """Return whether both paths are there, and are not the same file."""
    try:
        return not one.samefile(other)
    except OSError:  # one is gone
        return False


def _as_text(path: str) -> str:
    """Return the path as PostgreSQL can store it: bytes that are not UTF-8 in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find_on_disk(root: Path, path: str) -> Path | None:
    """Return the file that has the stored path; None if there is none."""
    data = re.sub(rb"\\x([0-9a-f]{2})", lambda it: bytes.fromhex(it[1].decode()), path.encode())
    for form in (path, unicodedata.normalize("NFD", path), os.fsdecode(data)):
        if (found := root / form).is_file():
            return found
    return None


def pages_of(path: str) -> list[str]:
    """
    Return what two paths of the same page have in common, with and without the date in the name.

    `_drafts/x.md` and `_posts/2024-05-01-x.md` are one page, and so are `x.md` and `x/index.md`.
    """
    folder, _slash, name = path.rpartition("/")
    stem, _dot, _suffix = name.rpartition(".")
    base, dot, language = stem.partition(".")
    if base == "index":
        folder, _slash, bundle = folder.rpartition("/")
        stem = f"{bundle}{dot}{language}"
    folder = re.sub(r"(^|/)_(?:drafts|posts)(?=/|$)", r"\1", folder)
    names = dict.fromkeys([stem, re.sub(r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[-_]", "", stem)])
    return [f"{folder}/{it}" for it in names]


# Languages


def _language_of(config: Site, root: Path, folder: Path) -> str:
    """
    Return the language whose folder this is; empty if it is that of none.

    The configuration says so, or the names: `content/ko` beside `content/en`. A folder `content/is`
    beside `content/news` is not Icelandic.
    """
    if language := config.folder_language(folder / "_"):
        return language
    if config.file and config.tool in (Tool.HUGO, Tool.ZOLA):
        return ""
    declared = {code.lower() for code in config.languages}
    # Also of a part of a site that was given by itself: `content/ko`.
    above = root if config.file else [root, *root.parents][:3][-1]
    for name in folder.relative_to(above).parts:
        if _is_language(name) and (
            name.lower() in declared
            or above.name == "_i18n"
            or (not declared and _has_only_languages(above))
        ):
            return name.replace("_", "-")
        above /= name
    return ""


def _is_language(name: str) -> bool:
    return is_language_code(name.replace("_", "-"))


def _has_only_languages(folder: Path) -> bool:
    """Return whether a folder has several folders, all called by the code of a language."""
    names = list(_visible_folders(folder))
    return len(names) > 1 and all(map(_is_language, names))


def _visible_folders(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (it.name for it in entries if it.is_dir() and not it.name.startswith("."))
    except OSError:
        return
