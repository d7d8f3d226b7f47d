"""
Keys for programs.

A trigger deletes those of an account that is deactivated, so that no way to do that passes it by.
"""

from typing import ClassVar

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

END = """
    CREATE FUNCTION api_end_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        DELETE FROM api_apikey WHERE owner_id = NEW.id;
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER api_end_keys
    AFTER UPDATE OF is_active ON auth_user
    FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active)
    EXECUTE FUNCTION api_end_keys()
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("api", "0003_end_tokens_with_passwords"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20), size=None, verbose_name="scopes"
                    ),
                ),
                ("type", models.CharField(blank=True, max_length=200, verbose_name="only for")),
                (
                    "prefix",
                    models.CharField(
                        editable=False, max_length=15, verbose_name="first characters"
                    ),
                ),
                ("digest", models.CharField(editable=False, max_length=128)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        verbose_name="created at",
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="ends at")),
                (
                    "last_used_at",
                    models.DateTimeField(editable=False, null=True, verbose_name="last used at"),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_keys",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "default_permissions": ("view", "delete"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("owner", "name"), name="api_key_name_of_one_owner"
                    ),
                    models.UniqueConstraint(fields=("digest",), name="api_key_digest_is_its_own"),
                ],
            },
        ),
        migrations.RunSQL(END, "DROP FUNCTION api_end_keys()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER api_end_keys ON auth_user"),
    ]
