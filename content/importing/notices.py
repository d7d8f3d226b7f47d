"""The import of notices."""

from collections.abc import Sequence
from typing import Any

from content.frontmatter import Post
from content.importing.importer import Entry, Importer
from content.importing.reasons import reason
from content.models import Notice, NoticeFile
from scheduling.errors import Why


class NoticeImporter(Importer):
    """
    Writes notices.

    Earlier versions stored nothing of their files: one with the same title and body is taken over.
    """

    model = Notice
    files = NoticeFile

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._earlier: dict[tuple[str, str], int] = {}  # without a file, by title and body

    def parts_of_post(self, post: Post) -> dict[str, Any]:
        """Return the parts of a file, as a notice stores them."""
        severity = post.extra.get("severity")
        if severity not in Notice.Severity.values:
            severity = Notice.Severity.INFO.value
        return {"title": post.title, "body": post.body, "severity": severity}

    def parts_of_item(self, item: Notice) -> dict[str, Any]:
        """Return the parts of a notice."""
        return {"title": item.title, "body": item.body, "severity": item.severity}

    def prepare(self, entries: Sequence[Entry]) -> None:
        """Query the notices that have a title of the batch."""
        titles = {entry.post.title for entry in entries}
        rows = Notice.objects.filter(title__in=titles, file=None).order_by("-pk")
        self._earlier.update({(it.title, it.body): it.pk for it in rows})

    def forget(self) -> None:
        """Drop what was queried for the batch before."""
        super().forget()
        self._earlier.clear()

    def find_earlier(self, entry: Entry) -> int | None:
        """Return the oldest notice with the same text."""
        return self._earlier.get((entry.post.title, entry.post.body))

    def make(self, entry: Entry, notes: list[Why]) -> Notice:
        """Return a notice; name what it has no place for."""
        for name in ("summary", "authors", "categories", "tags", "keywords"):
            if getattr(entry.post, name):
                notes.append(reason("no_such_field", key=name))
        return Notice()

    def fill(self, item: Notice, parts: dict[str, Any], post: Post) -> None:
        """Set the parts, which are all fields."""
        for name, value in parts.items():
            setattr(item, name, value)
