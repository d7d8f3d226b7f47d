"""
Reads a file of a Jekyll, Hugo, Zola or Astro site into a `Post`, without the database.

Where the tools differ and nothing says which one it is, all their rules apply: keys in any case
(Hugo), a date in the file name (Jekyll, Zola), `categories: a b` as two (Jekyll, Hugo),
`[taxonomies]` (Zola).
"""

from content.frontmatter.post import HTML_SUFFIXES, Post, parse
from content.frontmatter.reading import FILE_NAME, Bare, Reading, Shortcodes, Tool
from content.frontmatter.reasons import TEXTS, reason
from content.frontmatter.split import read_keys, read_values
from content.frontmatter.values import MAX_BYTES, NotAPost, PostError, Value

__all__ = [
    "FILE_NAME",
    "HTML_SUFFIXES",
    "MAX_BYTES",
    "TEXTS",
    "Bare",
    "NotAPost",
    "Post",
    "PostError",
    "Reading",
    "Shortcodes",
    "Tool",
    "Value",
    "parse",
    "read_keys",
    "read_values",
    "reason",
]  # fmt: skip
