"""Static files: served by this process, under names that change with their content."""

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import CommandError
from whitenoise.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """
    The files of `collectstatic`. One that was not collected keeps its own name.

    With the stock class every page that has such a file fails.
    """

    def stored_name(self, name: str) -> str:
        """Return the name with the hash of the content, if there is one."""
        try:
            stored: str = super().stored_name(name)
        except ValueError:
            return name
        return stored

    def read_manifest(self) -> str | None:
        """Return the names with hashes as JSON; None if it is not there, or cannot be read."""
        try:
            manifest: str | None = super().read_manifest()
        except OSError:
            return None
        return manifest

    def delete(self, name: str) -> None:
        """Delete a file that `collectstatic` replaces; say in one line if it cannot."""
        try:
            super().delete(name)
        except OSError as error:
            raise _cannot_write(error) from error

    def _save(self, name: str, content: Any) -> str:
        try:
            saved: str = super()._save(name, content)
        except OSError as error:
            raise _cannot_write(error) from error
        return saved


def _cannot_write(error: OSError) -> CommandError:
    return CommandError(f"Static files cannot be written to {settings.STATIC_ROOT}: {error}")


def warn_unless_collected() -> None:
    """Log what to do about files that are not collected, or were changed since."""
    if not settings.DEBUG and not is_collected():
        logger.warning(
            "Static files are not collected, or not those of this version: browsers keep them for"
            " a minute only, or keep old ones. Run: manage.py collectstatic --noinput"
        )


def is_collected() -> bool:
    """Return whether `collectstatic` has run since the newest static file was written."""
    try:
        collected_at = Path(settings.STATIC_ROOT, HashedFiles.manifest_name).stat().st_mtime
    except OSError:
        return False
    return all(
        Path(storage.path(path)).stat().st_mtime <= collected_at
        for finder in finders.get_finders()
        for path, storage in finder.list([])
    )
