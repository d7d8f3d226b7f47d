"""
Remember the addresses at which stories have been.

A trigger does, defined on the slug: a publish does not fire it, and no way to write a slug passes
it by. An address leads to whoever was there last.
"""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

REMEMBER = """
    CREATE FUNCTION content_story_remember_address() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        INSERT INTO content_oldaddress (path, story_id, created_at)
        VALUES ('/stories/' || OLD.slug, NEW.id, now())
        ON CONFLICT (path) DO UPDATE
        SET story_id = EXCLUDED.story_id, created_at = EXCLUDED.created_at;
        DELETE FROM content_oldaddress
        WHERE path = '/stories/' || NEW.slug AND story_id = NEW.id;
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER content_story_slug
    AFTER UPDATE OF slug ON content_story
    FOR EACH ROW WHEN (OLD.slug <> NEW.slug AND OLD.published_at IS NOT NULL)
    EXECUTE FUNCTION content_story_remember_address()
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0010_imported_files")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="OldAddress",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("path", models.CharField(max_length=500, verbose_name="old address")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                (
                    "story",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="old_addresses",
                        to="content.story",
                        verbose_name="story",
                    ),
                ),
            ],
            options={
                "verbose_name": "old address",
                "verbose_name_plural": "old addresses",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("path",), name="content_oldaddress_path_is_its_own"
                    )
                ],
            },
        ),
        migrations.RunSQL(REMEMBER, "DROP FUNCTION content_story_remember_address()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER content_story_slug ON content_story"),
    ]
