"""How the web server's own lines look: as all others, so one JSON object each where that is set."""

import os
from collections.abc import Iterable
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from armo.common.logging import ConsoleFormatter, JsonFormatter, without_secrets


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's logger, whose level and files are still chosen by gunicorn's own settings."""

    def setup(self, cfg: Config) -> None:
        """Set it up, also after gunicorn has read its settings anew."""
        super().setup(cfg)
        # The server starts before Django has read its settings.
        is_json = os.environ.get("LOG_FORMAT", "").strip().lower() == "json"
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(JsonFormatter() if is_json else ConsoleFormatter())

    def atoms(self, *args: Any) -> dict[str, Any]:
        """Return the facts of an access line without the secrets of links, and without queries."""
        atoms: dict[str, Any] = super().atoms(*args)
        cleaned = {key: without_secrets(it) for key, it in atoms.items() if isinstance(it, str)}
        return {**atoms, **cleaned, "q": ""}

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log it; where a client has sent what is no request, at INFO and without secrets."""
        if msg.startswith("Invalid request"):
            self.info(without_secrets(msg), *args, **kwargs)
        else:
            super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log it without secrets: the address of the request is in it."""
        super().exception(msg, *_cleaned(args), **kwargs)

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log it without secrets: at this level each address is logged once more."""
        super().debug(msg, *_cleaned(args), **kwargs)


def _cleaned(args: Iterable[Any]) -> list[Any]:
    return [without_secrets(it) if isinstance(it, str) else it for it in args]
