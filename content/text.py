"""
Text as it is stored: what looks alike is alike.

A file name on macOS spells `가` with two characters, or `é` with a letter and an accent (NFD);
nearly everything else has one (NFC). The fields here take either and store NFC, whoever writes: a
form, the API, an import, `bulk_create()`, `update()`. What is looked for is treated alike.
"""

# mypy: disallow-subclassing-any=false

import re
import unicodedata
from collections.abc import Callable
from typing import Any, ClassVar

import langcodes
from django import forms
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.models import VISIBLE

# CJK compatibility ideographs: NFC replaces them by others, but somebody's name is written so.
_KEPT = re.compile("([\uf900-\ufaff\U0002f800-\U0002fa1f])")

_visible = re.compile(VISIBLE)


def is_visible(text: str) -> bool:
    """Return whether something of a text can be seen."""
    return _visible.search(text) is not None


def compose(text: str) -> str:
    """Return text in NFC, except that CJK compatibility ideographs stay."""
    if unicodedata.is_normalized("NFC", text):
        return text
    parts = _KEPT.split(text)
    return "".join(
        part if place % 2 else unicodedata.normalize("NFC", part)
        for place, part in enumerate(parts)
    )


def as_line(text: str) -> str:
    """Return a line of text, composed, without blanks around it, as Django's forms take it."""
    return compose(text).strip()


def as_slug(text: str) -> str:
    """Return a slug, or the path of a page, in NFC."""
    return unicodedata.normalize("NFC", text)


def as_name(text: str) -> str:
    """Return the name of a tag or category in NFC, with single spaces between its words."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_language(text: str) -> bool:
    """Return whether a text is a tag of BCP 47 whose parts are registered, as `ko` or `pt-BR`."""
    return bool(langcodes.tag_is_valid(text))


def as_language(text: str) -> str:
    """Return the tag of a language in the standard's spelling, `pt-BR` for `pt_br`."""
    text = text.strip()
    return str(langcodes.standardize_tag(text)) if is_language(text) else text


def validate_language(text: str) -> None:
    """
    Check that a text names a language.

    :raises ValidationError:
    """
    if not is_language(text):
        raise ValidationError(NO_LANGUAGE, code="invalid")


NO_LANGUAGE = _("Not a language such as “en”, “ko” or “pt-BR” (BCP 47).")


def _apply(normal: Callable[[str], str], value: Any) -> Any:
    return normal(value) if isinstance(value, str) else value


def validate_name(text: str) -> None:
    """
    Check that something of a name can be seen.

    :raises ValidationError:
    """
    if not is_visible(text):
        raise ValidationError(NOTHING_SEEN, code="invisible")


NOTHING_SEEN = _("Nothing of this name can be seen.")


class _FormField(forms.CharField):
    normal: ClassVar[Callable[[str], str]]

    def to_python(self, value: Any) -> Any:
        """Return the text; its length is checked afterwards."""
        return _apply(type(self).normal, super().to_python(value))


class ComposedFormField(_FormField):
    """A text."""

    normal = compose


class LineFormField(_FormField):
    """A line of text."""

    normal = as_line


class NameFormField(_FormField):
    """A name, of which something can be seen."""

    normal = as_name
    default_validators = [validate_name]  # noqa: RUF012 (as its base has it)


class SlugFormField(_FormField, forms.SlugField):
    """A slug."""

    normal = as_slug


class LanguageFormField(_FormField):
    """A language."""

    normal = as_language


class _ModelField(models.Field):
    form_class: ClassVar[type[_FormField]]

    def _normal(self, value: Any) -> Any:
        return _apply(self.form_class.normal, value)

    def to_python(self, value: Any) -> Any:
        return self._normal(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return self._normal(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return what is stored; the instance has it from then on, too."""
        value = self._normal(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": self.form_class, **kwargs})


class ComposedCharField(_ModelField, models.CharField):
    """A line of text, composed, without blanks around it."""

    form_class = LineFormField


class ComposedTextField(_ModelField, models.TextField):
    """A long text, composed."""

    form_class = ComposedFormField


class NameField(_ModelField, models.CharField):
    """The name of a tag or category, or a keyword."""

    form_class = NameFormField
    default_validators = [validate_name]  # noqa: RUF012 (as its base has it)


class NamesField(ArrayField):
    """Names, each once, in their order."""

    def _once(self, names: Any) -> Any:
        if not isinstance(names, list | tuple):
            return names
        return list(dict.fromkeys(map(self.base_field.to_python, names)))

    def to_python(self, value: Any) -> Any:
        """Return the names."""
        return self._once(super().to_python(value))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Return them as PostgreSQL takes them."""
        return super().get_db_prep_value(self._once(value), connection, prepared)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Return what is stored; since Django 6.1 the parent's does not ask for the one above."""
        return super().get_db_prep_save(self._once(value), connection)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return what is stored; the instance has it from then on, too."""
        value = self._once(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value


class NormalSlugField(_ModelField, models.SlugField):
    """A slug in NFC."""

    form_class = SlugFormField


class LanguageField(_ModelField, models.CharField):
    """The tag of a language; nothing else is stored, by `save()` and `bulk_create()` either."""

    form_class = LanguageFormField
    default_validators = [validate_language]  # noqa: RUF012 (as its base has it)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """
        Return the tag to store.

        :raises ValidationError: it is none.
        """
        value = super().pre_save(model_instance, add)
        if value and not is_language(value):
            raise ValidationError({self.name: [NO_LANGUAGE]})
        return value
