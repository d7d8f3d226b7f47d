"""
End the tokens of an account when its password changes or it is deactivated.

A trigger does, so that no way to write either passes it by. A password that is only hashed anew is
the same password: whoever stores that says so (`armo.accounts.passwords`).
"""

from typing import ClassVar

from django.conf import settings
from django.db import migrations

END = """
    CREATE FUNCTION api_end_tokens() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        DELETE FROM knox_authtoken WHERE user_id = NEW.id;
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER api_end_tokens
    AFTER UPDATE OF password, is_active ON auth_user
    FOR EACH ROW WHEN (
        (OLD.password <> NEW.password
            AND current_setting('armo.hashed_anew', true) IS DISTINCT FROM NEW.id::text)
        OR (OLD.is_active AND NOT NEW.is_active)
    )
    EXECUTE FUNCTION api_end_tokens()
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("api", "0002_shared_cache"),
        ("knox", "0009_extend_authtoken_field"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.RunSQL(END, "DROP FUNCTION api_end_tokens()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER api_end_tokens ON auth_user"),
    ]
