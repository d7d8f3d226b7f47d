"""A server that listens for TCP too, and a host of its own for a worker that reaches it."""

import functools
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from armo.common import postgres
from armo.common.postgres.server import binary

PORT = 5432


def _run(*command: str) -> str:
    """Run it; return its error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "it failed" if done.returncode else ""


def listen(data_dir: Path, address: str) -> None:
    """
    Start a server again that listens at an address too, and lets in whoever connects from near it.

    `postgres.stop` ends it as any other.
    """
    postgres.start(data_dir)
    pgdata = data_dir / "pgdata"
    rules = pgdata / "pg_hba.conf"
    if address not in rules.read_text():
        with rules.open("a") as file:
            file.write(f"host all all {address}/24 trust\n")
    postgres.stop(data_dir)
    folder = postgres.settings(data_dir)["HOST"]
    owner = pgdata.stat()
    is_root = os.geteuid() == 0
    options = f"-k {shlex.quote(str(folder))} -c listen_addresses={address} -c port={PORT}"
    subprocess.run(
        [
            *(str(binary("pg_ctl")), "start", "-w", "-D", str(pgdata)),
            *("-l", str(data_dir / "log"), "-o", options),
        ],
        cwd="/",
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
        user=owner.st_uid if is_root else None,
        group=owner.st_gid if is_root else None,
        extra_groups=[] if is_root else None,
    )


class Host:
    """
    A host of its own: a network namespace, with one link to this one.

    :param number: keeps its name and addresses apart from those of others on this machine.
    """

    def __init__(self, number: int) -> None:
        number %= 2**16
        self.name = f"armo-{number}"
        near, far = f"armo{number}a", f"armo{number}b"
        network = f"10.{83 + number % 100}.{number // 256}"
        self.server_address, self.address, self.link = f"{network}.1", f"{network}.2", far
        self.commands = (
            ("ip", "netns", "add", self.name),
            ("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name),
            ("ip", "address", "add", f"{self.server_address}/24", "dev", near),
            ("ip", "link", "set", near, "up"),
            (*self.prefix, "ip", "address", "add", f"{self.address}/24", "dev", far),
            (*self.prefix, "ip", "link", "set", far, "up"),
            (*self.prefix, "ip", "link", "set", "lo", "up"),
        )

    @property
    def prefix(self) -> Sequence[str]:
        """Return how a command begins that runs there."""
        return ("ip", "netns", "exec", self.name)

    def set_up(self) -> None:
        """Make it."""
        for command in self.commands:
            if error := _run(*command):
                self.remove()
                raise OSError(f"{' '.join(command)}: {error}")

    def vanish(self) -> None:
        """Cut its link: nobody is sent an end of any connection."""
        assert not _run(*self.prefix, "ip", "link", "set", self.link, "down")

    def remove(self) -> None:
        """Remove it, and its link with it."""
        _run("ip", "netns", "delete", self.name)


@functools.cache
def cannot_have_hosts() -> str:
    """Return why no other host can be made on this machine; nothing when it can."""
    host = Host(os.getpid())
    try:
        host.set_up()
    except OSError as error:
        return f"it needs a network namespace, and none can be made: {error}"
    host.remove()
    return ""
