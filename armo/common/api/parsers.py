"""Parsers of request bodies."""

import json
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from armo.common.api.problems import CODES, TooLarge
from armo.common.storable_json import is_too_deep


class BoundedJSONParser(JSONParser):
    """JSON of limited size and depth."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        """
        Return the values of the body.

        :raises ParseError: it is not JSON, or nested too deeply.
        :raises TooLarge:
        """
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        length = getattr(stream, "META", {}).get("CONTENT_LENGTH") or 0
        if most and int(length) > most:
            raise TooLarge
        try:
            value = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(_("It is nested too deeply.")) from error
        except ParseError as error:
            raise ParseError(_what_is_wrong(error.__context__)) from error
        if is_too_deep(value):
            raise ParseError(_("It is nested too deeply."))
        return value


def _what_is_wrong(error: object) -> str:
    if isinstance(error, json.JSONDecodeError):
        place = {"line": error.lineno, "column": error.colno}
        return _("It is not valid JSON from line %(line)d, column %(column)d on.") % place
    return str(CODES["parse_error"][1])
