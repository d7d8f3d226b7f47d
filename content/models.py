"""Stories and notices, and the categories and tags of stories."""

import re
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.core.exceptions import ValidationError
from django.db import DatabaseError, models, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from content import markdown
from content.text import (
    NOTHING_SEEN,
    ComposedCharField,
    ComposedTextField,
    LanguageField,
    NameField,
    NamesField,
    NormalSlugField,
    compose,
    is_visible,
)
from scheduling.errors import Reason, Why
from scheduling.models import VISIBLE, Schedulable, SchedulableQuerySet

MAX_BODY = markdown.MAX_CHARS

# What begins with a letter, a digit, a quotation mark or the like, also in a heading, a quote or a
# list, shows it, whatever follows; not so the number of a list, or a sign that Markdown or HTML may
# take away. The trigger on the body has the same expression.
_blank = VISIBLE[2:-1]
SURELY_VISIBLE = (
    rf"^[{_blank}#>*_-]*(?![0-9]+[.)]([{_blank}]|$))"
    rf"[^{_blank}!#$&*+:<=>\u002d\u005b-\u0060\u007b-\u007e]"
)
_surely_visible = re.compile(SURELY_VISIBLE)

NO_TITLE = Reason("no_title", gettext_noop("It has no title."))
EMPTY_BODY = Reason("empty_body", gettext_noop("Its body is empty."))
UNSEEN_BODY = Reason("unseen_body", gettext_noop("Nothing in its body can be seen."))


class RenderedManager(models.Manager["Rendered"]):
    """Markdown that has been rendered, found by the text itself."""

    def html(self, body: str) -> SafeString:
        """Query the HTML of one text."""
        return self.html_of([body])[body]

    def html_of(self, bodies: Iterable[str]) -> dict[str, SafeString]:
        """
        Query the HTML of these texts, all at once.

        What an older renderer made, or is not there, is rendered and stored.
        """
        by_digest = {_digest(body): body for body in bodies}
        current = self.filter(digest__in=list(by_digest), renderer=markdown.RENDERER)
        html = {
            by_digest.pop(bytes(digest)): mark_safe(markup)  # noqa: S308 (cleaned when it was stored)  # nosec B308 B703
            for digest, markup in current.values_list("digest", "html")
        }
        made = {digest: markdown.render(body) for digest, body in sorted(by_digest.items())}
        if not made:
            return html
        # A page is shown also if nothing can be written, as on a standby.
        with suppress(DatabaseError), transaction.atomic():
            self.bulk_create(
                (
                    Rendered(digest, rendering.html, rendering.is_visible, markdown.RENDERER)
                    for digest, rendering in made.items()
                ),
                update_conflicts=True,
                unique_fields=["digest"],
                update_fields=["html", "is_visible", "renderer"],
            )
        return html | {by_digest[digest]: rendering.html for digest, rendering in made.items()}


def _digest(body: str) -> bytes:
    return sha256(body.encode(errors="replace")).digest()


class Rendered(models.Model):
    """
    Markdown as HTML, by the SHA-256 of its UTF-8.

    It belongs to a text, not to an item: all items, and all versions of one, that have the same
    text share it. Any row may be deleted; it is made again when somebody needs it.
    """

    digest = models.BinaryField(primary_key=True)
    html = models.TextField()
    # Whether a reader sees anything in it.
    is_visible = models.BooleanField()
    # `markdown.RENDERER` when it was made.
    renderer = models.CharField(max_length=200)

    objects = RenderedManager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return bytes(self.digest).hex()


class TitledBodyQuerySet(SchedulableQuerySet):
    """Queries of items with a body."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """
        Insert items, and render their texts.

        :raises content.markdown.BodyTooLarge:
        """
        items = list(objs)
        _prepare([item.body for item in items])
        return super().bulk_create(items, *args, **kwargs)

    def bulk_update(
        self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """
        Change items, and render their texts.

        :raises content.markdown.BodyTooLarge:
        """
        items, names = list(objs), list(fields)
        if "body" in names:
            _prepare([item.body for item in items])
        return super().bulk_update(items, names, batch_size=batch_size)

    def update(self, **kwargs: Any) -> int:
        """
        Change items, and render a new text.

        :raises content.markdown.BodyTooLarge:
        """
        if isinstance(body := kwargs.get("body"), str):
            _prepare([body])
        return super().update(**kwargs)


def _prepare(bodies: Collection[str]) -> None:
    """Check and render texts before they are stored in items, whose trigger looks them up."""
    composed = [compose(body) for body in bodies]
    for body in composed:
        markdown.check(body)
    Rendered.objects.html_of(composed)


class TitledBody(Schedulable):
    """A title and a body, which every type of content here has; a reader must see both."""

    OWNER = "author"

    title = ComposedCharField(_("title"), max_length=200, blank=True)
    body = ComposedTextField(_("body"), blank=True, help_text=_("Markdown."))
    # Whether a reader sees anything in the body; None if nobody has rendered it yet. A trigger sets
    # it, whatever is written here, so that a batch need not read the text.
    body_is_visible = models.BooleanField(null=True, editable=False)
    # The file at the last import, for the next one to find what has changed; see
    # `content.importing.memory.Memory`.
    imported = models.JSONField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    objects = TitledBodyQuerySet.as_manager()  # type: ignore[misc]

    class Meta(Schedulable.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.title or gettext("(no title)")

    def clean(self) -> None:
        """Check a changed body; one that was stored by an earlier version may stay."""
        super().clean()
        if self._is_changed("body"):
            try:
                markdown.check(self.body)
            except markdown.BodyTooLarge as refusal:
                raise ValidationError({"body": str(refusal)}) from refusal

    def save(self, *args: Any, **kwargs: Any) -> None:
        """
        Save the item, `updated_at` with what readers see, and render its text if it is new.

        :raises content.markdown.BodyTooLarge:
        """
        wanted = kwargs.get("update_fields")
        # What an expression comes to is rendered when somebody reads it.
        is_text = self._is_changed("body") and isinstance(self.body, str)
        if is_text and (wanted is None or "body" in wanted):
            _prepare([self.body])
            # The trigger knows; here the body is asked until the row is read again.
            self.body_is_visible = None
        if wanted is not None and set(wanted) - {*self.ENGINE_FIELDS, "version", "imported"}:
            kwargs["update_fields"] = {*wanted, "updated_at"}
        super().save(*args, **kwargs)

    def _is_changed(self, name: str) -> bool:
        if not super()._is_changed(name):
            return False
        texts = [self.__dict__[name], self._as_read.get(name)]
        if name != "body" or not all(isinstance(text, str) for text in texts):
            return True
        # An earlier version stored NFD, too.
        return compose(texts[0]) != compose(texts[1])

    def _remember_engine_fields(self, fields: Collection[str] | None = None) -> None:
        super()._remember_engine_fields(fields)
        if "body" in self.__dict__ and (fields is None or "body" in fields):
            self._as_read["body"] = self.body
            if fields is not None and "body_is_visible" not in fields:
                self.body_is_visible = None  # it was of another body

    def publish_problems(self) -> list[Why]:
        """Return a reason for each field of which a reader would see nothing."""
        problems = super().publish_problems()
        if not is_visible(self.title):
            problems.append(NO_TITLE)
        if not self._shows_its_body():
            problems.append(UNSEEN_BODY if is_visible(self.body) else EMPTY_BODY)
        return problems

    def _shows_its_body(self) -> bool:
        # The column is of the body that was read. A list has it, and not the body.
        if self.body_is_visible and not self._is_changed("body"):
            return True
        return bool(_surely_visible.match(self.body)) or markdown.render(self.body).is_visible

    @classmethod
    def publishable_condition(cls) -> Q:
        """Return the condition of a row without problems."""
        return super().publishable_condition() & Q(title__regex=VISIBLE, body_is_visible=True)


def _visible_name() -> models.CheckConstraint:
    return models.CheckConstraint(
        name="%(app_label)s_%(class)s_name_can_be_seen",
        condition=Q(name__regex=VISIBLE),
        violation_error_message=NOTHING_SEEN,
    )


class Category(models.Model):
    """A section of the site that stories belong to."""

    name = NameField(_("name"), max_length=100, unique=True)

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        constraints: ClassVar = [_visible_name()]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """A keyword that stories share."""

    name = NameField(_("name"), max_length=100, unique=True)

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints: ClassVar = [_visible_name()]

    def __str__(self) -> str:
        return self.name


class StorySlugField(NormalSlugField):
    """
    A slug that is made from the title if nothing can be seen of it, also by `bulk_create`.

    A story that has been live keeps its slug then: readers have its address.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Return the slug to store."""
        slug: str = super().pre_save(model_instance, add)
        if not is_visible(slug):
            slug = ("" if add else self._of_live(model_instance)) or self._of_title(model_instance)
            setattr(model_instance, self.attname, slug)
        return slug

    def _of_live(self, story: models.Model) -> str:
        """Query the slug of a story that has been live; an empty text for another."""
        rows = type(story)._base_manager.filter(pk=story.pk, published_at__isnull=False)
        return rows.values_list(self.attname, flat=True).first() or ""

    def _of_title(self, story: models.Model) -> str:
        title = slugify(getattr(story, "title", ""), allow_unicode=True)
        # Two stories may have the same title, but not the same URL.
        return "-".join(filter(None, [title[:180].strip("-"), secrets.token_hex(4)]))


class Story(TitledBody):
    """An article, a post, a page of news."""

    slug = StorySlugField(
        _("slug"),
        max_length=200,
        # A unique constraint: with `unique=True` Django adds a second index, for LIKE, which
        # every publish would have to write.
        db_index=False,
        allow_unicode=True,
        blank=True,
        help_text=_(
            "The end of its address. Left empty, it is made from the title; once the story has been"
            " live, it stays as it is."
        ),
    )
    summary = ComposedTextField(_("summary"), blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="stories",
        verbose_name=_("author"),
    )
    # Who wrote it, as readers see it; an imported post's authors need no login here.
    byline = ComposedCharField(_("byline"), max_length=200, blank=True)
    categories = models.ManyToManyField(
        Category, blank=True, related_name="stories", verbose_name=_("categories")
    )
    tags = models.ManyToManyField(Tag, blank=True, related_name="stories", verbose_name=_("tags"))
    keywords = NamesField(
        NameField(max_length=100), default=list, blank=True, verbose_name=_("keywords")
    )
    language = LanguageField(_("language"), max_length=16, blank=True, default="en")
    # Keys of an imported post's front matter that have no field of their own.
    extra = models.JSONField(_("other front matter"), default=dict, blank=True)

    class Meta(TitledBody.Meta):
        verbose_name = _("story")
        verbose_name_plural = _("stories")
        constraints: ClassVar = [
            *TitledBody.Meta.constraints,
            models.UniqueConstraint(name="content_story_slug_is_its_own", fields=["slug"]),
            models.CheckConstraint(
                name="content_story_slug_is_one_step_of_a_path",
                condition=~Q(slug="") & ~Q(slug__contains="/"),
            ),
        ]

    def clean(self) -> None:
        """Fill an empty slug before the constraints are validated."""
        super().clean()
        if not is_visible(self.slug):
            slug = self._meta.get_field("slug")
            assert isinstance(slug, StorySlugField)
            slug.pre_save(self, add=self._state.adding)

    def get_absolute_url(self) -> str:
        """Return the URL at which readers see the story."""
        return reverse("story", kwargs={"slug": self.slug})


class OldAddress(models.Model):
    """
    A path at which a story was live, or which its file names; see `content.addresses`.

    A trigger inserts the old path when the slug of a story changes that has been live.
    """

    path = models.CharField(_("old address"), max_length=500)
    story = models.ForeignKey(
        Story, on_delete=models.CASCADE, related_name="old_addresses", verbose_name=_("story")
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("old address")
        verbose_name_plural = _("old addresses")
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(name="content_oldaddress_path_is_its_own", fields=["path"])
        ]

    def __str__(self) -> str:
        return self.path


class Notice(TitledBody):
    """A short announcement, usually with an end."""

    class Severity(models.TextChoices):
        """How prominently a notice is shown."""

        INFO = "info", _("information")
        WARNING = "warning", _("warning")
        URGENT = "urgent", _("urgent")

    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="notices",
        verbose_name=_("author"),
    )
    severity = models.CharField(
        _("severity"), max_length=7, choices=Severity, default=Severity.INFO
    )

    class Meta(TitledBody.Meta):
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints: ClassVar = [
            *TitledBody.Meta.constraints,
            models.CheckConstraint(
                name="content_notice_known_severity",
                condition=Q(severity__in=("info", "warning", "urgent")),
            ),
        ]


def _key_of(model: type[TitledBody], *, related_name: str) -> Any:
    """
    Return the primary key of a table with one row for each item.

    The database deletes that row with its item, also outside Django: migrations add the constraint.
    """
    return models.OneToOneField(
        model,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name=related_name,
    )


class StorySearch(models.Model):
    """
    The searchable words of a story; see `content.search`.

    They have a table of their own because each publish writes a new version of the story's row, and
    an entry in every index of its table. A trigger fills it whenever the text of a story changes.
    """

    story = _key_of(Story, related_name="search")
    vector = SearchVectorField()

    class Meta:
        default_permissions = ()
        indexes: ClassVar = [GinIndex(fields=["vector"], name="storysearch_vector")]

    def __str__(self) -> str:
        return f"story:{self.story_id}"


class ImportSite(models.Model):
    """A folder whose files were imported: the site that the paths of its files belong to."""

    name = models.CharField(max_length=200, blank=True)  # as `--site` gave it
    folder = models.TextField()  # where it was at the last import, without symbolic links
    title = models.CharField(max_length=200, blank=True)  # address or title, as it configures

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="content_importsite_name_is_its_own", fields=["name"], condition=~Q(name="")
            ),
            models.UniqueConstraint(
                name="content_importsite_folder_is_its_own",
                fields=["folder", "title"],
                condition=Q(name=""),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.title or self.folder


class ImportedFile(models.Model):
    """
    The file that an item was imported from.

    It has a table of its own because each publish writes an entry in every index of the item's.
    """

    # The unique constraint has the index.
    site = models.ForeignKey(ImportSite, on_delete=models.CASCADE, db_index=False, related_name="+")
    # Below the folder of the site, with slashes, in NFC.
    path = models.TextField()

    # Each type adds `item`, its primary key.

    class Meta:
        abstract = True
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="%(app_label)s_%(class)s_path_is_its_own", fields=["site", "path"]
            )
        ]

    def __str__(self) -> str:
        return self.path


class StoryFile(ImportedFile):
    """The file of a story."""

    item = _key_of(Story, related_name="file")

    class Meta(ImportedFile.Meta):
        pass


class NoticeFile(ImportedFile):
    """The file of a notice."""

    item = _key_of(Notice, related_name="file")

    class Meta(ImportedFile.Meta):
        pass
