"""How the files of a site are to be read: what its tool and its configuration say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum

from content.frontmatter.values import Value
from scheduling.errors import Reason


class Tool(StrEnum):
    """The programs whose sites are known."""

    JEKYLL = "Jekyll"
    HUGO = "Hugo"
    ZOLA = "Zola"
    HEXO = "Hexo"
    ASTRO = "Astro"
    UNKNOWN = ""


class Shortcodes(StrEnum):
    """What happens to a post with code that its tool replaces when it builds the site."""

    KEEP = "keep"
    DROP = "drop"
    DRAFT = "draft"


class Bare(StrEnum):
    """What a file without front matter is."""

    POST = "post"
    DRAFT = "draft"
    NO_POST = "no post"


# A pseudo-key: the date in the name of the file.
FILE_NAME = ":filename"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """
    How one file is to be read.

    :param zone: of the times that carry no offset.
    :param start_keys: in lower case, in their order, where the date stands; `:filename` is the date
        in the name. The words of other tools count after them, and after the name.
    :param defaults: values of keys that the file does not have.
    :param languages: in lower case, those that the name of a file may end in; None is any.
    :param draft_reason: why its tool makes no page of it; None if it does.
    :param variables: what stands for `{{ name }}` in a body.
    """

    tool: Tool = Tool.UNKNOWN
    zone: tzinfo = UTC
    start_keys: tuple[str, ...] = ("publishdate", "pubdate", "published", "date")
    end_keys: tuple[str, ...] = ("expirydate", "unpublishdate")
    defaults: Mapping[str, Value] = field(default_factory=dict)
    languages: frozenset[str] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    bare: Bare = Bare.DRAFT
    draft_reason: Reason | None = None
    shortcodes: Shortcodes = Shortcodes.DRAFT
