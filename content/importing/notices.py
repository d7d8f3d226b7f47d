"""The import of notices."""

from django.utils.translation import gettext as _

from content.frontmatter import Post
from content.importing.files import Found
from content.importing.importer import Importer, possible, reason_of, result_of
from content.importing.memory import Plan
from content.importing.results import Outcome, Result
from content.models import Notice
from scheduling.errors import Why


class NoticeImporter(Importer):
    """
    Writes notices, which are found by title: they have no slug.

    A notice stores nothing of its file, so an existing one is left as it is.
    """

    key = "title"

    def write(self, file: Found, post: Post) -> Result:
        """Insert the notice."""
        notice = Notice.objects.filter(title=post.title).order_by("pk").first()
        if notice is not None and notice.body == post.body:
            return result_of(file, Outcome.UNCHANGED, notice, [])
        if notice is not None:
            note = _("A notice with this title is there already: it is left as it is.")
            return result_of(file, Outcome.SKIPPED, notice, [note])
        notes: list[Why] = list(post.notes)
        for name in ("summary", "authors", "categories", "tags", "keywords"):
            if getattr(post, name):
                notes.append(_("A notice has no “%(key)s”: it was left out.") % {"key": name})
        notice = Notice(title=post.title, body=post.body)
        if post.extra.get("severity") in Notice.Severity.values:
            notice.severity = str(post.extra["severity"])
        self.create(notice, possible(Plan.of(post), notice, notes), reason=reason_of(file))
        return result_of(file, Outcome.CREATED, notice, notes)
