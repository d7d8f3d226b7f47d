"""A small disk in memory, to be filled."""

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CHUNK = b"\0" * 2**16


@functools.cache
def cannot_mount() -> str:
    """Return why no disk can be mounted on this machine; nothing when it can."""
    with tempfile.TemporaryDirectory(prefix="armo-chaos-") as folder:
        done = _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
        if done:
            return f"it needs a small disk, and none can be mounted: {done}"
        _run("umount", folder)
    return ""


def _run(*command: str) -> str:
    """Run it; return its error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "it failed" if done.returncode else ""


class SmallDisk:
    """A tmpfs of some megabytes."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.folder = folder
        self.filler = folder / "filler"
        folder.mkdir(exist_ok=True)
        if error := _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)):
            raise OSError(error)
        atexit.register(self.unmount)

    def give_to(self, like: Path) -> None:
        """Make it belong to the owner of another folder."""
        owner = like.stat()
        os.chown(self.folder, owner.st_uid, owner.st_gid)
        self.folder.chmod(0o700)

    def fill(self) -> None:
        """Write until nothing more fits."""
        with self.filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(CHUNK):
                continue

    def empty(self) -> None:
        """Free what `fill` took."""
        self.filler.unlink(missing_ok=True)

    def move(self, folder: Path, elsewhere: Path | None) -> None:
        """
        Move a folder to a place on this disk, and leave a link there; or back, without one.

        :param elsewhere: None to move it back.
        """
        if elsewhere is not None:
            _copy(folder, elsewhere)
            shutil.rmtree(folder)
            folder.symlink_to(elsewhere)
        elif folder.is_symlink():
            source = folder.resolve()
            folder.unlink()
            _copy(source, folder)

    def unmount(self) -> None:
        """Take it away, with all that is on it."""
        if os.path.ismount(self.folder):
            _run("umount", "-l", str(self.folder))
        self.folder.rmdir()
        atexit.unregister(self.unmount)


def _copy(source: Path, target: Path) -> None:
    # With owners and modes.
    if error := _run("cp", "--archive", str(source), str(target)):
        raise OSError(error)
