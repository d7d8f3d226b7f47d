"""
Old addresses of stories, which lead to the present ones.

The database remembers the address of a story whose slug changes once it has been live (a trigger,
so that no way to write a slug passes it by); an import adds those that a file names. Another page
of the site, and another live story, always comes first: an old address is looked up only where
nothing else is found.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from django.urls import Resolver404, resolve

from content.models import OldAddress, Story

MAX_PATH = OldAddress._meta.get_field("path").max_length or 0

# The keys of front matter by which Hugo, Zola and Jekyll give a page other addresses, or its own.
ALIASES = ("aliases", "redirect_from")
KEYS = (*ALIASES, "permalink", "url", "path")


def as_path(path: str) -> str:
    """
    Return a decoded path as it is stored: `/2020/harvest/` and `/2020/harvest.html` are one.

    :returns: an empty text for the front page, and for what no story can have had.
    """
    steps = [step for step in unicodedata.normalize("NFC", path).split("/") if step]
    if steps and re.fullmatch(r"index\.html?", steps[-1]):
        steps.pop()
    if steps:
        steps[-1] = re.sub(r"\.html?$", "", steps[-1])
    stored = "".join(f"/{step}" for step in steps)
    is_odd = "\x00" in stored or {".", ".."} & set(steps) or len(stored) > MAX_PATH
    return "" if is_odd else stored


def find(path: str) -> Story | None:
    """Query the live story that was once at a decoded path, or that a file has named so."""
    stored = as_path(path)
    if not stored or not is_free(path):
        return None
    return Story.objects.published().filter(old_addresses__path=stored).only("slug").first()


def is_free(path: str) -> bool:
    """Return whether no page of the site is at a path, with or without a slash at its end."""
    for each in (path, f"{path.rstrip('/')}/"):
        try:
            match = resolve(each)
        except Resolver404:
            continue
        if match.view_name != "story":
            return False
    return True


def named_by(
    keys: Mapping[str, Any], *, folder: str = "", placeholders: Mapping[str, str]
) -> list[str]:
    """
    Return the paths that front matter names, as they are stored.

    An address of another site is left out, and so is a path with an unknown placeholder.

    :param folder: of paths without a slash in front, from the root.
    :param placeholders: what stands for `:title`, by `title`, and so on.
    """

    def fill(found: re.Match[str]) -> str:
        return placeholders.get(found[1], found[0])

    paths = []
    for key, value in keys.items():
        if key.lower() not in KEYS:
            continue
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                path = _path_in(re.sub(r":([a-z_]+)", fill, text), folder)
                is_path = "/" in text or key.lower() in ALIASES
                paths.append(as_path(path) if is_path else "")
    return list(dict.fromkeys(filter(None, paths)))


def _path_in(address: str, folder: str) -> str:
    """Return the decoded path of an address of the site itself; empty if it is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme or parts.netloc or "/:" in parts.path:
        return ""
    path = unquote(parts.path)
    return path if path.startswith("/") else f"{folder}/{path}"


def claim(story: Story, paths: Iterable[str]) -> list[str]:
    """
    Have paths lead to a story, unless they lead elsewhere already.

    :param paths: as they are stored.
    :returns: those that lead elsewhere.
    """
    wanted = [path for path in paths if path != as_path(f"/stories/{story.slug}")]
    # In a fixed order, so that two imports do not deadlock.
    free = sorted(path for path in wanted if is_free(path))
    OldAddress.objects.bulk_create(
        [OldAddress(path=path, story=story) for path in free], ignore_conflicts=True
    )
    own = set(OldAddress.objects.filter(path__in=free, story=story).values_list("path", flat=True))
    return [path for path in wanted if path not in own]
