"""
What a site's tool makes pages of, and how it reads them.

The rules are those of Hugo 0.168 (hugolib, resources/page/pagemeta), Jekyll 4.4 (EntryFilter,
PostReader, Collection, FrontmatterDefaults), Zola 0.22 (site, content) and Astro 5 (content
collections). docs/importing.md has them in words.
"""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from django.utils import timezone

from content.frontmatter import (
    FILE_NAME,
    HTML_SUFFIXES,
    Bare,
    PostError,
    Reading,
    Shortcodes,
    Tool,
    Value,
    read_keys,
)
from content.frontmatter.keys import READ_KEYS, plain_name
from content.importing.reasons import reason
from content.importing.sites import MountFilter, Site
from scheduling.errors import Reason

MARKDOWN_SUFFIXES = (".md", ".markdown", ".mkd", ".mkdn", ".mkdown", ".mdown", ".mdwn", ".mdx")
SUFFIXES = (*MARKDOWN_SUFFIXES, *HTML_SUFFIXES)
# Texts that the tools read, and Armo does not.
OTHER_SUFFIXES = (
    ".org", ".adoc", ".asciidoc", ".ad", ".rst", ".textile", ".ipynb", ".pandoc", ".pdc", ".mdoc",
    ".markdoc", ".rmd", ".qmd",
)  # fmt: skip

# What these tools take for Markdown; the others leave it to the site.
_MARKDOWN_OF = {Tool.HUGO: (".md", ".markdown", ".mdown"), Tool.ZOLA: (".md",)}

_PACKAGES = ("node_modules", "bower_components")
_JEKYLL_EXCLUDED = ("gemfiles", "Gemfile", "node_modules", "vendor/bundle/", "vendor/cache/",
                    "vendor/gems/", "vendor/ruby/")  # fmt: skip
_JEKYLL_POST = re.compile(r"\d{2,4}-\d{1,2}-\d{1,2}-[^/]*\.[^.]+", re.ASCII)
# Folders of programs and of what they have built, at the top of a site.
_BUILT = {Tool.HEXO: ("public", "scaffolds", "themes"), Tool.ASTRO: ("public", "dist")}
_HUGO_DATES = ("date", "publishdate", "lastmod")
_HUGO_ALIASES = {
    "publishdate": ("pubdate", "published"),
    "lastmod": ("modified",),
    "expirydate": ("unpublishdate",),
}


class Pages:
    """
    The files of one site.

    :param zone: of times without an offset, as the user gave it; None is that of the site.
    """

    def __init__(
        self, site: Site, *, zone: tzinfo | None = None, shortcodes: Shortcodes = Shortcodes.DRAFT
    ) -> None:
        self.site = site
        self.has_local_times = False  # of the files that were read
        self._given_zone = zone
        self._shortcodes = shortcodes
        self._cascades: dict[Path, list[dict[str, Any]]] = {}
        # By folder, which may have as many files as the site.
        self._sections: dict[Path, list[dict[str, Value]]] = {}
        self._bundles: dict[Path, bool] = {}

    # Times

    @cached_property
    def zone(self) -> tzinfo:
        """Return the zone of times without an offset."""
        if self._given_zone or self.site.zone:
            return self._given_zone or self.site.zone or UTC
        return UTC if self.site.tool else timezone.get_default_timezone()

    @cached_property
    def zone_source(self) -> str:
        """Return where the zone is from: an option, a setting, a file or a tool."""
        if self._given_zone:
            return "--zone"
        if self.site.zone:
            return self.site.file
        return self.site.tool.value or "TIME_ZONE"

    # Files

    def find_reason(self, path: Path, *, is_folder: bool = False) -> Reason | None:
        """
        Return why the tool makes no page of a file, or of anything in a folder; None if it may.

        :param path: absolute, without symbolic links above.
        """
        name = path.name
        if is_folder and name in _PACKAGES:
            return reason("packages")
        if not is_folder and (name.startswith("#") or name.endswith("~")):
            return reason("backup")
        relative = self.site.relative(path)
        parts = tuple(relative.split("/"))
        if not is_folder and self.site.tool != Tool.JEKYLL and name.partition(".")[0] == "_index":
            return reason("section_page")
        suffix = path.suffix.lower()
        others = set(MARKDOWN_SUFFIXES).difference(
            _MARKDOWN_OF.get(self.site.tool, MARKDOWN_SUFFIXES)
        )
        if not is_folder and self.site.file and suffix in others:
            return reason("suffix", tool=self.site.tool.value, suffix=suffix)
        match self.site.tool:
            case Tool.HUGO:
                return self._find_reason_of_hugo(path, relative, is_folder=is_folder)
            case Tool.ZOLA:
                return self._find_reason_of_zola(path, relative, is_folder=is_folder)
            case Tool.JEKYLL if self.site.file:
                return self._find_reason_of_jekyll(relative, parts, is_folder=is_folder)
            case Tool.ASTRO if any(part.startswith("_") for part in parts):
                return reason("special", tool="Astro", sign="_")
            case Tool.HEXO | Tool.ASTRO as tool if parts[0] in _BUILT[tool]:
                return reason("outside", tool=tool.value)
            case _:
                return None

    def _is_outside(self, relative: str, *, is_folder: bool) -> bool:
        """Return whether it is in none of the folders in which the tool looks for pages."""
        folders = self.site.content_folders
        return bool(folders) and not any(
            relative.startswith(f"{folder}/")
            or (is_folder and (relative == folder or f"{folder}/".startswith(f"{relative}/")))
            for folder in folders
        )

    def _find_reason_of_hugo(self, path: Path, relative: str, *, is_folder: bool) -> Reason | None:
        if self._is_outside(relative, is_folder=is_folder):
            return reason("outside", tool="Hugo")
        if is_folder:
            return None
        for pattern in _texts(self.site.config.get("ignorefiles")):
            if (compiled := _compile(pattern)) and compiled.search(path.as_posix()):
                return reason("ignored", pattern=pattern, file=self.site.file)
        if (mounts := self.site.find_mount_filters(path)) and not any(
            _is_taken(inner.lower(), each) for inner, each in mounts
        ):
            return reason("ignored", pattern="module.mounts", file=self.site.file)
        hidden = self.site.hidden_languages
        language = self.site.folder_language(path)
        if {language, *path.name.lower().split(".")[1:-1]} & hidden:
            return reason("language_off", file=self.site.file)
        for folder in self._folders_of(path):
            if self._is_bundle(folder) and not (folder == path.parent and _is_index(path.name)):
                return reason("part_of_bundle", page=f"{folder.name}/index")
        return None

    def _folders_of(self, path: Path, *, with_top: bool = False) -> Iterator[Path]:
        """Return the folders that have the file, from the outermost below the content's."""
        folders = {self.site.root / folder for folder in self.site.content_folders}
        if not folders:
            # Without a configuration: the innermost one called so.
            folders = {next((it for it in path.parents if it.name == "content"), self.site.root)}
        above: list[Path] = []
        for folder in path.parents:
            if folder in folders:
                yield from (folder,) if with_top else ()
                yield from reversed(above)
                return
            above.append(folder)

    def _is_bundle(self, folder: Path) -> bool:
        """Return whether a folder is a page, with all that it has."""
        if folder not in self._bundles:
            self._bundles[folder] = any(map(_is_index, _list(folder)))
        return self._bundles[folder]

    def _find_reason_of_zola(self, path: Path, relative: str, *, is_folder: bool) -> Reason | None:
        if self._is_outside(relative, is_folder=is_folder):
            return reason("outside", tool="Zola")
        for pattern in _texts(self.site.config.get("ignored_content")):
            glob = _compile_glob(pattern, is_separated=False)
            if glob.fullmatch(path.as_posix()) or glob.fullmatch(relative):
                return reason("ignored", pattern=pattern, file=self.site.file)
        if is_folder and _is_on(self._read_section(path).get("draft")):
            return reason("draft_section")
        if not is_folder:
            for folder in path.parents:
                if folder == self.site.root:
                    break
                if _is_on(self._read_section(folder).get("draft")):
                    return reason("draft_section")
        return None

    def _read_section(self, folder: Path) -> Mapping[str, Value]:
        return next(iter(self._read_sections(folder)), {})

    def _find_reason_of_jekyll(
        self, relative: str, parts: tuple[str, ...], *, is_folder: bool
    ) -> Reason | None:
        config = self.site.config
        source = str(config.get("source") or "").strip("./")
        if source:
            if not is_folder and not relative.startswith(f"{source}/"):
                return reason("outside", tool="Jekyll")
            relative = relative.removeprefix(source).lstrip("/")
            parts = tuple(relative.split("/")) if relative else ()
        for pattern in self._jekyll_excluded:
            if _is_excluded(relative, pattern, is_folder=is_folder):
                return reason("ignored", pattern=pattern, file=self.site.file)
        included = _texts(config.get("include"))
        container = str(config.get("collections_dir") or "").strip("/")
        collections = config.get("collections")
        names = collections if isinstance(collections, dict | list) else ()
        for depth, part in enumerate(parts):
            is_last = depth == len(parts) - 1
            label = part.removeprefix("_")
            is_collection = label in names and "/".join(parts[:depth]) == container
            if part in ("_posts", "_drafts") or (part.startswith("_") and is_collection):
                return self._find_reason_of_collection(part, parts[depth + 1 :], is_folder)
            if part[:1] in ("_", "#", "~") and part not in included:
                if is_last and not is_folder and "/".join(parts) in included:
                    continue
                return reason("special", tool="Jekyll", sign=part[:1])
        return None

    def _find_reason_of_collection(
        self, folder: str, inner: tuple[str, ...], is_folder: bool
    ) -> Reason | None:
        if not inner:
            return None
        # Not of folders between: Jekyll looks at the start and the end of a path.
        signs = {inner[0][:1]} if is_folder else {inner[0][:1], inner[-1][:1]}
        if signs & {"_", "#", "~"}:
            return reason("special", tool="Jekyll", sign="_")
        if folder in ("_posts", "_drafts"):
            return None
        collections = self.site.config.get("collections")
        options = collections.get(folder[1:]) if isinstance(collections, dict) else None
        has_pages = isinstance(options, dict) and _is_on(options.get("output"))
        return None if has_pages else reason("no_output", collection=folder[1:])

    @cached_property
    def _jekyll_excluded(self) -> tuple[str, ...]:
        config = self.site.config
        included = _texts(config.get("include"))
        patterns = (*_texts(config.get("exclude")), *_JEKYLL_EXCLUDED)
        return tuple(pattern for pattern in patterns if pattern not in included)

    # Reading

    def how_to_read(self, path: Path) -> Reading:
        """
        Return how a file is to be read.

        :param path: absolute, without symbolic links above.
        """
        tool = self.site.tool
        return Reading(
            tool=tool,
            zone=self._zone_of(path),
            start_keys=self._start_keys,
            end_keys=self._end_keys,
            defaults=self._find_defaults(path),
            languages=self._languages,
            variables=self._variables,
            bare=self._bare(path),
            draft_reason=self._find_draft_reason(path),
            shortcodes=self._shortcodes,
        )

    def _bare(self, path: Path) -> Bare:
        """Return what a file without front matter is."""
        if self.site.tool == Tool.JEKYLL and "_posts" in path.parts:
            return Bare.POST
        has_rule = self.site.file and self.site.tool in (Tool.JEKYLL, Tool.ZOLA, Tool.ASTRO)
        return Bare.NO_POST if has_rule else Bare.DRAFT

    def _find_draft_reason(self, path: Path) -> Reason | None:
        has_rule = self.site.file and self.site.tool == Tool.JEKYLL and "_posts" in path.parts
        if has_rule and not _JEKYLL_POST.fullmatch(path.name):
            return reason("undated_name", tool="Jekyll")
        return None

    def _zone_of(self, path: Path) -> tzinfo:
        if self._given_zone:
            return self._given_zone
        language = self.site.folder_language(path) or _language_of_name(path.name)
        return self.site.zone_of(language) or self.zone

    @cached_property
    def _languages(self) -> frozenset[str] | None:
        if not self.site.file or self.site.tool not in (Tool.HUGO, Tool.ZOLA):
            return None
        if not self.site.languages:
            return None
        codes = {*self.site.languages, self.site.language}
        return frozenset(code.lower() for code in codes)

    @cached_property
    def _variables(self) -> dict[str, str]:
        if self.site.tool != Tool.JEKYLL or not self.site.file:
            return {}
        config = {"url": "", "baseurl": "", **self.site.config}
        found = {
            f"site.{name}": str(value or "")
            for name, value in config.items()
            if value is None or (isinstance(value, str | int) and not isinstance(value, bool))
        }
        return {**found, "site.github.url": found.get("site.url", "") + found["site.baseurl"]}

    @cached_property
    def _start_keys(self) -> tuple[str, ...]:
        match self.site.tool:
            case Tool.JEKYLL | Tool.ZOLA:
                return ("date",)
            case Tool.HUGO:
                dates = self._hugo_keys("date", _HUGO_DATES)
                found: list[str] = []
                for key in self._hugo_keys("publishdate", ("publishdate", "date")):
                    # Where a page has no `date`, Hugo's is the one that its rules for it find.
                    found += ("date", *dates) if key == "date" else (key,)
                return tuple(dict.fromkeys(found))
            case _:
                return Reading().start_keys

    @cached_property
    def _end_keys(self) -> tuple[str, ...]:
        if self.site.tool != Tool.HUGO:
            return Reading().end_keys
        keys = self._hugo_keys("expirydate", ("expirydate",))
        return tuple(key for key in keys if key != FILE_NAME)

    def _hugo_keys(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys of a date, as `[frontmatter]` has them."""
        options = self.site.config.get("frontmatter")
        written = _texts(options.get(name)) if isinstance(options, dict) else ()
        keys: list[str] = []
        for key in written or default:
            for each in default if key.lower() == ":default" else (key.lower(),):
                if each == FILE_NAME or not each.startswith(":"):
                    keys += (each, *_HUGO_ALIASES.get(each, ()))
        return tuple(dict.fromkeys(keys))

    # Values of keys that stand elsewhere

    def _find_defaults(self, path: Path) -> dict[str, Value]:
        match self.site.tool:
            case Tool.JEKYLL:
                found = self._defaults_of_jekyll(path)
            case Tool.HUGO:
                found = self._defaults_of_hugo(path)
            case _:
                return {}
        return {name: value for name, value in found.items() if plain_name(name) in READ_KEYS}

    def _defaults_of_jekyll(self, path: Path) -> dict[str, Value]:
        sets = self.site.config.get("defaults")
        relative = self.site.relative(path)
        matching = []
        for position, each in enumerate(sets if isinstance(sets, list) else ()):
            if not isinstance(each, dict) or not isinstance(each.get("values"), dict):
                continue
            scope = each.get("scope")
            scope = scope if isinstance(scope, dict) else {}
            folder, kind = str(scope.get("path") or "").strip("/"), scope.get("type")
            if kind not in (None, _jekyll_type(relative)):
                continue
            if "*" in folder:
                if not _compile_glob(f"{folder}{{,/**}}").fullmatch(relative):
                    continue
            elif not relative.startswith(folder):
                continue
            matching.append((len(folder), kind is not None, position, each["values"]))
        found: dict[str, Value] = {}
        for _length, _has_kind, _position, values in sorted(matching, key=lambda it: it[:3]):
            found |= values
        return found

    def _defaults_of_hugo(self, path: Path) -> dict[str, Value]:
        """Return what `cascade` gives a page: of the nearest section first, the site's last."""
        sections = self._folders_of(path, with_top=True)
        inner = [each for folder in sections for each in reversed(self._find_cascades(folder))]
        found: dict[str, Value] = {}
        page = self._hugo_path(path)
        language = self.site.folder_language(path) or _language_of_name(path.name)
        for each in [*reversed(inner), *_cascades(self.site.config.get("cascade"))]:
            values = {k: v for k, v in each.items() if k not in ("_target", "target", "params")}
            params = each.get("params")
            target = each.get("target") or each.get("_target")
            if _is_target(target, page, language):
                found = {**(params if isinstance(params, dict) else {}), **values, **found}
        return found

    def _find_cascades(self, folder: Path) -> list[dict[str, Any]]:
        if folder not in self._cascades:
            self._cascades[folder] = [
                each
                for values in self._read_sections(folder)
                for each in _cascades(_lower_keys(values).get("cascade"))
            ]
        return self._cascades[folder]

    def _read_sections(self, folder: Path) -> list[dict[str, Value]]:
        """Read the front matter of a folder's `_index` files."""
        if folder not in self._sections:
            self._sections[folder] = list(_read_sections(folder))
        return self._sections[folder]

    def _hugo_path(self, path: Path) -> str:
        """Return the logical path of a page: `/posts/autumn`."""
        for folder in path.parents:
            if self.site.relative(folder) in self.site.content_folders or folder.name == "content":
                inner = path.relative_to(folder)
                stem = inner.name.partition(".")[0]
                inner = inner.parent if stem == "index" else inner.with_name(stem or inner.name)
                return f"/{inner.as_posix()}".lower()
        return f"/{path.stem}".lower()


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read_sections(folder: Path) -> Iterator[dict[str, Value]]:
    for name in sorted(_list(folder)):
        if name.partition(".")[0] == "_index" and name.lower().endswith(SUFFIXES):
            try:
                with (folder / name).open("rb") as file:
                    yield read_keys(file.read(200_000))
            except (PostError, OSError):
                continue


def _is_index(name: str) -> bool:
    """Return whether the folder of such a file is a page, with all that it has (a leaf bundle)."""
    lower = name.lower()
    return lower.startswith("index.") and lower.endswith((*SUFFIXES, *OTHER_SUFFIXES))


def _language_of_name(name: str) -> str:
    parts = name.lower().split(".")
    return parts[-2] if len(parts) > 2 else ""


def _jekyll_type(relative: str) -> str:
    folder = next((part for part in relative.split("/")[:-1] if part.startswith("_")), "")
    return folder[1:] or "pages"


def _is_on(value: Value) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "yes", "on"))


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(part for part in value if isinstance(part, str)) if isinstance(value, list) else ()


def _is_excluded(relative: str, pattern: str, *, is_folder: bool) -> bool:
    """Return whether Jekyll's `exclude` has the path, or a folder that has it."""
    pattern = pattern.removeprefix("./").strip()
    if not pattern or not relative:
        return False
    path = f"{relative}/" if is_folder else relative
    folders = [relative[: match.start()] for match in re.finditer("/", relative)]
    return path.startswith(pattern.lstrip("/")) or any(
        fnmatchcase(each, pattern) for each in (relative, *folders)
    )


def _is_taken(path: str, mount: MountFilter) -> bool:
    """Return whether a mount takes a file; it is not taken either if a folder above is excluded."""
    above = [path[: match.start()] for match in re.finditer("/", path)][1:]
    if any(
        _compile_glob(pattern.lower()).fullmatch(each)
        for pattern in mount.excluded
        for each in (path, *above)
    ):
        return False
    return not mount.included or any(
        _compile_glob(pattern.lower()).fullmatch(path) for pattern in mount.included
    )


def _lower_keys(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name.lower(): value for name, value in values.items()}


def _cascades(value: Any) -> list[dict[str, Any]]:
    parts = value if isinstance(value, list) else [value]
    return [_lower_keys(part) for part in parts if isinstance(part, dict)]


def _is_target(target: Any, page: str, language: str) -> bool:
    """Return whether a cascade is for a page: by path, kind, language and environment."""
    if not isinstance(target, dict):
        return True
    wanted = _lower_keys(target)
    values = {"path": page, "kind": "page", "lang": language, "environment": "production"}
    for name, value in values.items():
        pattern = wanted.get(name)
        if not isinstance(pattern, str) or not pattern or (name == "lang" and not value):
            continue
        if not _compile_glob(pattern.lower()).fullmatch(value):
            return False
    return True


@lru_cache(maxsize=500)
def _compile(pattern: str) -> re.Pattern[str] | None:
    """Return a regular expression of a configuration; None if Python cannot read it."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError):
        return None


@lru_cache(maxsize=500)
def _compile_glob(pattern: str, *, is_separated: bool = True) -> re.Pattern[str]:
    """
    Return a glob as a regular expression: `**`, `*`, `?`, `[a-z]`, `{a,b}`.

    :param is_separated: `*` stops at a slash.
    """
    any_but = "[^/]*" if is_separated else ".*"
    found = []
    depth = 0
    for token in re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|\{|\}|,|\\.|.", pattern, re.DOTALL):
        match token:
            case "**/":
                found.append("(?:.*/)?")
            case "**":
                found.append(".*")
            case "*":
                found.append(any_but)
            case "?":
                found.append("[^/]" if is_separated else ".")
            case "{":
                depth += 1
                found.append("(?:")
            case "}" if depth:
                depth -= 1
                found.append(")")
            case "," if depth:
                found.append("|")
            case _ if token[0] == "[" and len(token) > 2:
                inner = token[1:-1].replace("\\", r"\\").replace("[", r"\[")
                found.append(f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]")
            case _:
                found.append(re.escape(token[-1]))
    return _compile("".join(found) + ")" * depth) or re.compile(re.escape(pattern))
