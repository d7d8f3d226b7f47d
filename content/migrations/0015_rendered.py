"""
Keep what Markdown was rendered to, and with each item whether a reader sees anything in its body.

The column is added without a rewrite. A trigger fills it, so that it is true of whatever wrote the
body; it also fires when somebody writes the column, which therefore cannot be wrong.
"""

from typing import ClassVar

from django.db import migrations, models

# As `scheduling.models.VISIBLE` was.
BLANK = (
    r"\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# What begins so shows it; see `content.models.SURELY_VISIBLE`. Of any other text it is known once
# the text has been rendered.
SURELY_VISIBLE = (
    rf"^[{BLANK}#>*_-]*(?![0-9]+[.)]([{BLANK}]|$))"
    rf"[^{BLANK}!#$&*+:<=>\u002d\u005b-\u0060\u007b-\u007e]"
)

FOLLOW = """
    CREATE FUNCTION content_follow_body() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        NEW.body_is_visible := NEW.body ~ '{surely_visible}' OR (
            SELECT is_visible FROM content_rendered
            WHERE digest = sha256(convert_to(NEW.body, 'UTF8'))
        );
        RETURN NEW;
    END
    $$
""".replace("{surely_visible}", SURELY_VISIBLE)


def trigger(table: str) -> migrations.RunSQL:
    """Return the operation that makes the trigger of a table."""
    return migrations.RunSQL(
        f"""
        CREATE TRIGGER {table}_body
        BEFORE INSERT OR UPDATE OF body, body_is_visible ON {table}
        FOR EACH ROW EXECUTE FUNCTION content_follow_body()
        """,
        f"DROP TRIGGER {table}_body ON {table}",
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0014_words_inside_compounds")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Rendered",
            fields=[
                ("digest", models.BinaryField(primary_key=True, serialize=False)),
                ("html", models.TextField()),
                ("is_visible", models.BooleanField()),
                ("renderer", models.CharField(max_length=200)),
            ],
            options={"default_permissions": ()},
        ),
        *(
            migrations.AddField(
                model_name=model,
                name="body_is_visible",
                field=models.BooleanField(editable=False, null=True),
            )
            for model in ("story", "notice")
        ),
        migrations.RunSQL(FOLLOW, "DROP FUNCTION content_follow_body()"),
        trigger("content_story"),
        trigger("content_notice"),
    ]
