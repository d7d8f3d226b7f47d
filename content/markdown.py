"""Markdown to HTML that is safe to show."""

from functools import partial

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])

# What nh3 allows, and the alignment of table columns. Its list has no scripts, frames, forms or
# event handlers; a body may contain HTML, as imported posts often do.
_cleaner_at = partial(
    nh3.Cleaner,
    attributes={
        **nh3.ALLOWED_ATTRIBUTES,
        **{cell: nh3.ALLOWED_ATTRIBUTES[cell] | {"style"} for cell in ("th", "td")},
    },
    filter_style_properties={"text-align"},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="nofollow noopener",
)
_cleaner = _cleaner_at()


def render(text: str, *, base: str | None = None) -> SafeString:
    """
    Return Markdown as HTML: CommonMark, with tables and strikethrough.

    Authors may write any HTML, so whatever could run or mislead is removed.

    :param base: the URL to resolve relative links and pictures with, outside the site's own pages.
    """
    cleaner = _cleaner_at(url_relative=("rewrite_with_base", base)) if base else _cleaner
    return mark_safe(cleaner.clean(_markdown.render(text)))  # noqa: S308 (cleaned by nh3)
