"""The application, for the workers that tests start with it."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    name = "tests.archive"

    def ready(self) -> None:
        from scheduling.models import register
        from tests.archive.transitions import Archive

        register(Archive)
