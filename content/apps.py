"""Configuration of the application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ContentConfig(AppConfig):
    """Stories and notices."""

    name = "content"
    verbose_name = _("Content")

    def ready(self) -> None:
        """Register the checks."""
        from content import checks  # noqa: F401
