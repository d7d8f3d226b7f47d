"""The engine's settings, where a site has none."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone, translation

from scheduling import conf


def mars_and_klingon(person: object) -> tuple[str, str]:
    return "Mars/Olympus_Mons", "tlh"


class TestALocale:
    def test_of_a_person_is_the_sites_when_no_function_is_set(self, settings: Any) -> None:
        settings.LOCALE_OF = None

        with translation.override("ko"), conf.locale_of(get_user_model()()) as language:
            zone = timezone.get_current_timezone()

        assert (language, zone) == ("ko", timezone.get_default_timezone())

    def test_that_is_not_known_any_more_is_the_sites(self, settings: Any) -> None:
        settings.LOCALE_OF = f"{__name__}.mars_and_klingon"

        with conf.locale_of(get_user_model()()) as language:
            zone = timezone.get_current_timezone()

        assert (language, zone) == ("en", timezone.get_default_timezone())


class TestASetting:
    def test_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(AttributeError, match="NO_SUCH"):
            _ = conf.NO_SUCH
