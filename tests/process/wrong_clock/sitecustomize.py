"""
Shift the clock of a Python process, and of those it forks, by CLOCK_OFFSET seconds.

Python imports this at its start when the folder is on PYTHONPATH.
"""

import os
from datetime import UTC, datetime, timedelta

import time_machine

offset = timedelta(seconds=float(os.environ["CLOCK_OFFSET"]))
time_machine.travel(datetime.now(UTC) + offset, tick=True).start()
