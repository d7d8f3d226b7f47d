"""
The import of a site's posts: each Markdown file becomes an item, in its own transaction.

It may run any number of times. Each story stores digests of the parts of its file; a later run
writes only parts that have changed in the file, and none that have been changed here.
"""

from content.importing.files import Found, find_posts, is_post
from content.importing.importer import Importer
from content.importing.notices import NoticeImporter
from content.importing.results import Outcome, Result
from content.importing.stories import StoryImporter

__all__ = [
    "IMPORTERS",
    "Found",
    "Importer",
    "NoticeImporter",
    "Outcome",
    "Result",
    "StoryImporter",
    "find_posts",
    "is_post",
]

# The choices of `--type`.
IMPORTERS: dict[str, type[Importer]] = {"story": StoryImporter, "notice": NoticeImporter}
