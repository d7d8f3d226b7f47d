"""
Which tool a site is made with, and what its configuration says about its files.

Nothing is executed: what a configuration computes (Astro's is a program) is not known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Self
from zoneinfo import ZoneInfo

from content.frontmatter import MAX_BYTES, PostError, Tool, read_values
from scheduling.models.times import find_zone


@dataclass(frozen=True)
class MountFilter:
    """The files that one of Hugo's mounts takes, as patterns that begin with a slash."""

    included: tuple[str, ...]
    excluded: tuple[str, ...]

    @classmethod
    def of(cls, mount: Mapping[str, Any]) -> Self:
        """Return what a mount says; in `files`, which replaces the two others, `!` excludes."""
        files = _patterns(mount.get("files"))
        included = [*_patterns(mount.get("includefiles")), *(it for it in files if it[0] != "!")]
        excluded = [*_patterns(mount.get("excludefiles"))]
        excluded += [it[1:].strip() for it in files if it[0] == "!"]
        return cls(*(tuple(f"/{it.lstrip('/')}" for it in part) for part in (included, excluded)))


@dataclass(frozen=True, kw_only=True)
class Site:
    """
    One site's folder and configuration.

    :param root: the folder that has the configuration; without one the folder given.
    :param file: the configuration, relative to the root; empty without one.
    :param config: what it says; Hugo's with all names in lower case, as Hugo reads them.
    :param problem: why the configuration could not be read; empty if it could.
    """

    root: Path
    tool: Tool = Tool.UNKNOWN
    file: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @cached_property
    def name(self) -> str:
        """Return the address or the title of the site; empty if the configuration has none."""
        for key in ("baseurl", "base_url", "url", "title"):
            value = self.config.get(key)
            # Jekyll's `baseurl` is a path.
            if isinstance(value, str) and value.strip("/ ") and not value.startswith("/"):
                path = self.config.get("baseurl") if key == "url" else ""
                return value.strip() + (path if isinstance(path, str) else "")
        return ""

    @cached_property
    def zone_name(self) -> str:
        """Return the time zone of the configuration; empty if it has none that is known."""
        for value in (self.config.get("timezone"), self._default_language_config.get("timezone")):
            if isinstance(value, str) and find_zone(value):
                return value
        return ""

    @cached_property
    def unknown_zone(self) -> str:
        """Return the time zone of the configuration that nobody knows; empty if there is none."""
        value = self.config.get("timezone")
        return value if isinstance(value, str) and value and not find_zone(value) else ""

    @cached_property
    def zone(self) -> ZoneInfo | None:
        """Return the zone of times without an offset; None if the configuration has none."""
        return find_zone(self.zone_name)

    def zone_of(self, language: str) -> ZoneInfo | None:
        """Return the zone that a language has of its own in the configuration."""
        languages = self.config.get("languages")
        values = languages.get(language) if isinstance(languages, dict) else None
        name = values.get("timezone") if isinstance(values, dict) else None
        return find_zone(name) if isinstance(name, str) else None

    @cached_property
    def language(self) -> str:
        """Return the language of files that name none; empty if the configuration has none."""
        found: list[Any] = [
            self.config.get(key)
            for key in ("defaultcontentlanguage", "default_language", "default_lang")
        ]
        if len(self.languages) == 1:
            found += self.languages
        found += [self.config.get(key) for key in ("languagecode", "locale", "lang")]
        if self.tool in (Tool.HUGO, Tool.ZOLA):
            found.append("en")
        return next(
            (code.replace("_", "-") for code in found if isinstance(code, str) and code), ""
        )

    @cached_property
    def languages(self) -> dict[str, tuple[str, ...]]:
        """Return the codes of the languages, and the folders, below the root, of each's files."""
        found: dict[str, tuple[str, ...]] = {}
        languages = self.config.get("languages")
        if isinstance(languages, list):  # Jekyll's plugins
            return {code: () for code in languages if isinstance(code, str)}
        for code, values in languages.items() if isinstance(languages, dict) else ():
            folder = values.get("contentdir") if isinstance(values, dict) else None
            found[code] = (_tidy(folder),) if isinstance(folder, str) else ()
        for mount in self._mounts:
            if (code := mount.get("lang")) and isinstance(code, str):
                found[code] = (*found.get(code, ()), _tidy(mount["source"]))
        return found

    @cached_property
    def hidden_languages(self) -> frozenset[str]:
        """Return the languages that the configuration switches off."""
        languages = self.config.get("languages")
        off = {
            code
            for code, values in (languages.items() if isinstance(languages, dict) else ())
            if isinstance(values, dict) and values.get("disabled") is True
        }
        return frozenset(off | set(_strings(self.config.get("disablelanguages"))))

    @cached_property
    def content_folders(self) -> tuple[str, ...]:
        """
        Return the folders, below the root, in which the tool looks for pages.

        None means everywhere; also where there is no such folder: what is there is content then.
        """
        folders = self._configured_folders
        return folders if any((self.root / folder).is_dir() for folder in folders) else ()

    @cached_property
    def _configured_folders(self) -> tuple[str, ...]:
        if self.tool == Tool.ZOLA and self.file:
            return ("content",)
        if self.tool != Tool.HUGO or not self.file:
            return ()
        folders = {folder for folders in self.languages.values() for folder in folders}
        folders |= {_tidy(mount["source"]) for mount in self._mounts}
        without_one = not self.languages or not all(self.languages.values())
        if without_one and not any(not mount.get("lang") for mount in self._mounts):
            folders.add(_tidy(str(self.config.get("contentdir") or "content")))
        return tuple(sorted(folders))

    def find_mount_filters(self, path: PurePath) -> list[tuple[str, MountFilter]]:
        """Return what is left of a path in each of Hugo's mounts that has it, and its filter."""
        relative = self.relative(path)
        sources = [(mount, _tidy(mount["source"])) for mount in self._mounts]
        return [
            (relative.removeprefix(source), MountFilter.of(mount))
            for mount, source in sources
            if relative.startswith(f"{source}/")
        ]

    def relative(self, path: PurePath) -> str:
        """Return the path below the root, with slashes; a path outside of it stays as it is."""
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )

    def folder_language(self, path: PurePath) -> str:
        """Return the language whose folder, the innermost, has the file; empty if none has."""
        relative = self.relative(path)
        found = [
            (len(folder), code)
            for code, folders in self.languages.items()
            for folder in folders
            if relative.startswith(f"{folder}/")
        ]
        return max(found, default=(0, ""))[1]

    @cached_property
    def _mounts(self) -> list[dict[str, Any]]:
        """Return Hugo's mounts of content, with the language of each where it has one."""
        module = self.config.get("module")
        mounts = module.get("mounts") if isinstance(module, dict) else None
        return [
            mount
            for mount in (mounts if isinstance(mounts, list) else [])
            if isinstance(mount, dict)
            and isinstance(mount.get("source"), str)
            and str(mount.get("target", "")).split("/")[0] == "content"
        ]

    @cached_property
    def _default_language_config(self) -> Mapping[str, Any]:
        languages = self.config.get("languages")
        values = languages.get(self.language) if isinstance(languages, dict) else None
        return values if isinstance(values, dict) else {}


class Sites:
    """
    The sites of the files of one import.

    :param top: the folder given, absolute; of it a site is made where no configuration is found.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._found: dict[Path, Site | None] = {}

    def find(self, path: Path) -> Site:
        """
        Return the site of a file: of the nearest folder above that has a configuration.

        Without one the names of folders say which tool's rules hold.

        :param path: absolute.
        """
        for folder in path.parents:
            if folder not in self._found:
                self._found[folder] = _read_site(folder)
            if (site := self._found[folder]) is not None:
                return site
        return Site(root=self._top, tool=_guess_tool(path))


def _guess_tool(path: PurePath) -> Tool:
    if "_posts" in path.parts or "_drafts" in path.parts:
        return Tool.JEKYLL
    if "/src/content/" in path.as_posix():
        return Tool.ASTRO
    return Tool.HUGO if "content" in path.parts else Tool.UNKNOWN


def _read_site(folder: Path) -> Site | None:
    """Return the site whose configuration is in the folder; None if it has none."""
    for name in ("_config.yml", "_config.yaml", "_config.toml"):
        if (folder / name).is_file():
            config, problem = _read(folder / name)
            is_hexo = "public_dir" in config or "source_dir" in config
            tool = Tool.HEXO if is_hexo else Tool.JEKYLL
            return Site(root=folder, tool=tool, file=name, config=config, problem=problem)
    for suffix in _HUGO_SUFFIXES:
        if (folder / f"hugo{suffix}").is_file():
            return _read_hugo(folder, f"hugo{suffix}")
    if (folder / "zola.toml").is_file():
        config, problem = _read(folder / "zola.toml")
        return Site(root=folder, tool=Tool.ZOLA, file="zola.toml", config=config, problem=problem)
    if (folder / "config.toml").is_file() and (folder / "content").is_dir():
        config, problem = _read(folder / "config.toml")
        if "base_url" in config:
            return Site(
                root=folder, tool=Tool.ZOLA, file="config.toml", config=config, problem=problem
            )
    for suffix in _HUGO_SUFFIXES:
        if (folder / f"config{suffix}").is_file() and (folder / "content").is_dir():
            return _read_hugo(folder, f"config{suffix}")
    if (folder / "config/_default").is_dir():
        return _read_hugo(folder, "")
    for path in sorted(folder.glob("astro.config.*")):
        return Site(root=folder, tool=Tool.ASTRO, file=path.name)
    return None


_HUGO_SUFFIXES = (".toml", ".yaml", ".yml", ".json")


def _read_hugo(folder: Path, name: str) -> Site:
    """Read a file, and those of `config/`: each has the part that it is named after."""
    config, problem = _read(folder / name) if name else ({}, "")
    config = _lower(config)
    for environment in ("_default", "production"):
        for path in sorted((folder / "config" / environment).glob("*")):
            if path.suffix not in _HUGO_SUFFIXES:
                continue
            name = name or path.relative_to(folder).as_posix()
            part, problem_here = _read(path)
            problem = problem or problem_here
            stem, _dot, language = path.stem.lower().partition(".")
            wrapped = _lower(part)
            if stem not in ("hugo", "config"):
                wrapped = {
                    stem: wrapped.get(stem, wrapped) if not language else {language: wrapped}
                }
            config = _merge(config, wrapped)
    return Site(root=folder, tool=Tool.HUGO, file=name, config=config, problem=problem)


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a configuration says, and why nothing could be read of it."""
    try:
        with path.open("rb") as file:
            return read_values(file.read(MAX_BYTES + 1), suffix=path.suffix), ""
    except PostError as error:
        return {}, str(error)
    except OSError as error:
        return {}, error.strerror or str(error)


def _lower(value: Any) -> Any:
    match value:
        case dict():
            return {str(key).lower(): _lower(part) for key, part in value.items()}
        case list():
            return [_lower(part) for part in value]
        case _:
            return value


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Return both maps as one, also inside; where both have a value the second's counts."""
    merged = dict(low)
    for key, value in high.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _tidy(folder: str) -> str:
    return str(PurePosixPath("/" + folder.strip()))[1:]


def _strings(value: Any) -> tuple[str, ...]:
    """Return the texts of a list, or of a text with spaces or commas."""
    if isinstance(value, str):
        return tuple(re.split(r"[,\s]+", value.strip())) if value.strip() else ()
    return tuple(part for part in value if isinstance(part, str)) if isinstance(value, list) else ()


def _patterns(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else [value]
    return [part.strip() for part in parts if isinstance(part, str) and part.strip()]
