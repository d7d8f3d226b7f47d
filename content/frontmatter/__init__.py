"""
Reads a Markdown file of a Jekyll, Hugo or Zola site into a `Post`, without the database.

Where the three differ, all their rules apply: keys in any case (Hugo), a date in
the file name (Jekyll, Zola), `categories: a b` as two (Jekyll, Hugo), `[taxonomies]` (Zola).
"""

from content.frontmatter.post import Post, parse
from content.frontmatter.split import read_values
from content.frontmatter.values import MAX_BYTES, PostError

__all__ = ["MAX_BYTES", "Post", "PostError", "parse", "read_values"]
