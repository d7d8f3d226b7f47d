"""
Say of a ledger that was pruned before this version where it begins: at its oldest finished job.

It was pruned if the first job of all is gone. Two rows are read, by their indexes.
"""

from typing import ClassVar

from django.db import migrations

FIND = """
INSERT INTO scheduling_ledgerstart (id, at)
SELECT 1, finished_at FROM scheduling_job
WHERE finished_at IS NOT NULL AND state <> 'failed' AND (SELECT min(id) FROM scheduling_job) > 1
ORDER BY finished_at LIMIT 1
"""


class Migration(migrations.Migration):
    """Insert the row, or none."""

    dependencies: ClassVar = [("scheduling", "0020_ledger_start")]

    operations: ClassVar = [migrations.RunSQL(FIND, "DELETE FROM scheduling_ledgerstart")]
