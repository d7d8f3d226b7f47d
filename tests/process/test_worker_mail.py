"""That a real worker notifies people, and soon."""

from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

from scheduling.models import Heartbeat, Job, State
from tests.factories import StoryFactory
from tests.process.conftest import StartWorker
from tests.process.worker import wait_until

# From the failure until its mail is sent.
SECONDS = 5


class TestAFailure:
    def test_is_mailed_within_seconds(self, start_worker: StartWorker, tmp_path: Path) -> None:
        letters = tmp_path / "letters"
        start_worker(EMAIL_URL=f"filemail:///{letters}", FAILURE_EMAILS="desk@example.org")
        wait_until(Heartbeat.objects.filter(lane="mail").exists, seconds=20, what="mail moves")

        StoryFactory(due=True, title="추수 소식", body="")

        wait_until(Job.objects.filter(state=State.FAILED).exists, seconds=20, what="it failed")
        notified = Job.objects.filter(told_at__isnull=False)
        wait_until(notified.exists, seconds=SECONDS, what="somebody is notified")
        job = notified.get()
        assert job.told_at is not None
        assert job.finished_at is not None
        assert job.told_at - job.finished_at < timedelta(seconds=SECONDS)
        [letter] = letters.iterdir()
        assert message_from_bytes(letter.read_bytes())["To"] == "desk@example.org"
