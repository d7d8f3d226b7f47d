"""
Count the events that are written from now on.

Those of before would all be counted at once, and look like a burst of today.
"""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Insert the mark."""

    dependencies: ClassVar = [("scheduling", "0027_event_counts")]

    operations: ClassVar = [
        migrations.RunSQL(
            "INSERT INTO scheduling_eventcountmark (id, counted_to, next_to, next_from_xid)"
            " SELECT 1, id, id, 0"
            " FROM (SELECT coalesce(max(id), 0) AS id FROM scheduling_jobevent) AS newest"
            " ON CONFLICT (id) DO NOTHING",
            "DELETE FROM scheduling_eventcountmark",
        )
    ]
