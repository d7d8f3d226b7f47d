"""
A process that schedules beside the publisher, as editors and programs do.

`python -m bench.editors RATE SECONDS`; the stage's environment says where the database is.
"""

import sys
import time
from datetime import timedelta
from itertools import count

import django

from bench.report import plain
from tests.process.server import wait_until_time


def main(rate: int, seconds: int) -> None:
    """Schedule stories for tomorrow, and move every other one, so many a second; say how."""
    django.setup()
    from bench import stage
    from scheduling import operations
    from scheduling.models import clock

    stories = stage.write_stories(rate * seconds // 2 + 1)
    tomorrow = clock.database_now() + timedelta(days=1)
    took = []
    begun = time.time()
    for number in count():
        wait_until_time(begun + number / rate)
        if time.time() > begun + seconds:
            break
        began = time.perf_counter()
        story = stories[number // 2 % len(stories)]
        at = tomorrow + timedelta(seconds=number)
        operations.schedule(item=story, run_at=at, by=None)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    p50, p99 = (plain(stage.part(took, share)) for share in (0.5, 0.99))
    print(f"{len(took)} schedules beside, p50 {p50}, p99 {p99} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
