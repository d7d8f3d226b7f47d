"""
Take for blank, in names, all that Unicode shows as nothing.

Selectors beyond the first sixteen, tags, and the format characters of shorthand and music were
missing. A name that has nothing else goes.
"""

from importlib import import_module
from typing import ClassVar

from django.db import migrations, models

# As `scheduling.models.VISIBLE` was.
VISIBLE = (
    "[^\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

BLANK = import_module("content.migrations.0015_rendered").BLANK

DELETE = """
    DELETE FROM content_story_{names} WHERE {name}_id IN
        (SELECT id FROM content_{name} WHERE name ~ '^[{blank}]*$');
    DELETE FROM content_{name} WHERE name ~ '^[{blank}]*$';
    SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("content", "0016_fill_body_is_visible")]

    operations: ClassVar = [
        *(
            operation
            for name, names in (("category", "categories"), ("tag", "tags"))
            for operation in (
                migrations.RunSQL(
                    DELETE.format(name=name, names=names, blank=BLANK), migrations.RunSQL.noop
                ),
                migrations.RemoveConstraint(name, f"content_{name}_name_can_be_seen"),
                migrations.AddConstraint(
                    name,
                    models.CheckConstraint(
                        condition=models.Q(name__regex=VISIBLE),
                        name=f"content_{name}_name_can_be_seen",
                        violation_error_message="Nothing of this name can be seen.",
                    ),
                ),
            )
        )
    ]
