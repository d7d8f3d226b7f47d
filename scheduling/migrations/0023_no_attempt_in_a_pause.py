"""
Have PostgreSQL itself refuse an attempt that begins while publishing is paused.

Every version counts an attempt when it begins a job, alone or in a batch. So no version can pass a
pause, not even one that knows nothing of pauses. The trigger runs once a statement: for a batch of
a thousand jobs that is a hundredth of its time; a trigger for each row took a tenth.

Class 57, operator intervention, is what a worker of any version waits through, as it waits for a
database that is being restarted: it charges no attempt and fails no job.
"""

from typing import ClassVar

from django.db import migrations

REFUSE = """
    CREATE FUNCTION scheduling_refuse_while_paused() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path FROM CURRENT
    AS $$
    BEGIN
        IF EXISTS (SELECT FROM scheduling_pause) AND EXISTS (
            SELECT FROM old_rows JOIN new_rows USING (id)
            WHERE new_rows.attempts > old_rows.attempts
        ) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'operator_intervention', MESSAGE = 'Publishing is paused.';
        END IF;
        RETURN NULL;
    END
    $$
"""

TRIGGER = """
    CREATE TRIGGER scheduling_job_begun
    AFTER UPDATE ON scheduling_job
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT
    EXECUTE FUNCTION scheduling_refuse_while_paused()
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("scheduling", "0022_waiting_rows")]

    operations: ClassVar = [
        migrations.RunSQL(REFUSE, "DROP FUNCTION scheduling_refuse_while_paused()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER scheduling_job_begun ON scheduling_job"),
    ]
