"""
The files in which the web processes of one server count requests; for gunicorn.conf.py.

This runs in gunicorn's own process, before Django and prometheus_client are loaded: that decides
by the environment, once, where it counts.
"""

import atexit
import fcntl
import os
import shutil
import struct
import tempfile
import time
from contextlib import suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
# The process that has made the folder. A server that replaces another inherits its environment.
MADE_BY = "ARMO_REQUEST_COUNTS_MADE_BY"
PREFIX = "armo-request-counts-"
NEW_SECONDS = 60


def ignore_empty_folder() -> None:
    """Count an empty variable as not set; prometheus_client would write where it was started."""
    if not os.environ.get(FOLDER, "").strip():
        os.environ.pop(FOLDER, None)


def make_folder() -> None:
    """
    Make a folder for this server, unless one is named already; it is removed at the end.

    One that is named is kept, and made if it is missing. Where nothing can be written, each web
    process counts by itself.
    """
    maker = os.environ.get(MADE_BY)
    if maker == str(os.getpid()):
        return
    try:
        if maker is None and os.environ.get(FOLDER, "").strip():
            Path(os.environ[FOLDER]).mkdir(parents=True, exist_ok=True)
            return
        _remove_left_folders()
        os.environ[FOLDER] = tempfile.mkdtemp(prefix=PREFIX)
        _lock(Path(os.environ[FOLDER]))  # until the last of its processes has ended
    except OSError:
        os.environ.pop(FOLDER, None)
        return
    os.environ[MADE_BY] = str(os.getpid())
    atexit.register(_remove_folder, os.environ[FOLDER], os.getpid())


def _lock(folder: Path) -> int:
    """Return a file descriptor that locks a folder for this process and those that it forks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_left_folders() -> None:
    """Remove the folders of servers that were killed, which removed nothing."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or in use
            if time.time() - folder.stat().st_mtime < NEW_SECONDS:
                continue  # it may not be locked yet
            descriptor = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _remove_folder(folder: str, maker: int) -> None:
    if os.getpid() == maker:  # not at the end of a process that was forked
        shutil.rmtree(folder, ignore_errors=True)


def hand_over_folder(uid: int, gid: int) -> None:
    """Give the folder to the user that web processes run as."""
    if MADE_BY in os.environ:
        with suppress(OSError):
            os.chown(os.environ[FOLDER], uid, gid)


def keep_counts_of(pid: int) -> None:
    """
    Add what an ended process has counted to what all before it have, and delete its files.

    Servers start their processes anew after some requests; with a file each, reading would take
    longer from day to day.
    """
    from prometheus_client.mmap_dict import MmapedDict

    for file in Path(os.environ.get(FOLDER, os.devnull)).glob(f"*_{pid}.db"):
        try:
            counts = list(MmapedDict.read_all_values_from_file(file))
        except (ValueError, RuntimeError, struct.error):
            file.unlink()  # its process ended before it was written whole
            continue
        kept = file.with_name(f"{file.name.removesuffix(f'_{pid}.db')}_ended.db")
        new = kept.with_suffix(".new")
        if kept.exists():
            shutil.copyfile(kept, new)
        sums = MmapedDict(new)
        for key, value, timestamp, _ in counts:
            sums.write_value(key, sums.read_value(key)[0] + value, timestamp)
        sums.close()
        # Whoever reads just between these two counts them twice, once.
        new.replace(kept)
        file.unlink()
