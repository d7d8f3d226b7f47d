"""Speaking to a person in the time zone and the language that he has chosen."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils import timezone, translation

from armo.accounts import zones


@contextmanager
def own_words(*, time_zone: str, language: str) -> Iterator[str]:
    """
    Tell times in that zone and speak that language, and the ones before again at the end.

    Instead of a zone that is empty, or not known any more, it is the site's; instead of such a
    language the one that is active.

    :returns: the language that is spoken.
    """
    if language not in dict(settings.LANGUAGES):
        language = translation.get_language() or settings.LANGUAGE_CODE
    zone = zones.find(time_zone) or timezone.get_default_timezone()
    with timezone.override(zone), translation.override(language):
        yield language
