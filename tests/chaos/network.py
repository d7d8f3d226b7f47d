"""Faults between worker and server: of the network, and of a pooler."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from armo.common import postgres
from tests.chaos.environment import Stage
from tests.chaos.fault import Fault, Scene
from tests.chaos.traps.models import WORKS_SECONDS, Mode
from tests.process import pooler
from tests.process.pooler import Pooler
from tests.process.server import execute, wait_until_time
from tests.process.worker import wait_until

CHUNK = 2**16
SESSIONS = 10
# Longer than the worker waits for an answer before it takes a connection for half open, and longer
# than a lease lasts.
TAKEN_SECONDS = 45.0


class Proxy:
    """
    A TCP proxy in front of a Unix socket, whose connections can be made half-open.

    Unlike a cut cable it acknowledges what it receives, so that TCP itself notices nothing.

    :param target: the path of the socket.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peers: dict[socket.socket, socket.socket] = {}
        # Connections that nothing is forwarded on; they stay open.
        self.silent: list[socket.socket] = []
        self.lock = threading.Lock()
        self.is_done = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def silence(self) -> None:
        """Close the server's side of the connections that there are; leave the client's open."""
        with self.lock:
            for peer in self.peers:
                self.selector.unregister(peer)
                if peer.family == socket.AF_UNIX:
                    peer.close()
                else:
                    self.silent.append(peer)
            self.peers = {}

    def close(self) -> None:
        """Close everything."""
        self.is_done = True
        self.thread.join()
        for one in [self.listener, *self.peers, *self.silent]:
            one.close()
        self.selector.close()

    def _run(self) -> None:
        while not self.is_done:
            for key, _ in self.selector.select(0.1):
                with self.lock:
                    if key.fileobj is self.listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self.peers:
                        self._forward(key.fileobj)

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self.target))
        except OSError:
            client.close()
            server.close()
            return
        for one, other in ((client, server), (server, client)):
            self.peers[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        target = self.peers[source]
        try:
            data = source.recv(CHUNK)
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for one in (source, target):
                self.selector.unregister(one)
                del self.peers[one]
                one.close()


class HalfOpen(Fault):
    """The server's side of each TCP connection of the worker is gone; the worker's stays open."""

    name = "half-open TCP"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("idle", "between", "busy")
    # After a time-out.
    target_ms: int | None = 40_000
    spoils_worker = True
    proxy: Proxy

    def set_up(self, stage: Stage) -> None:
        """Have a worker whose connections pass the proxy."""
        folder, port = stage.server.socket_dir, 5432
        if stage.pooler:
            folder, port = stage.pooler.folder, pooler.PORT
        self.proxy = Proxy(folder / f".s.PGSQL.{port}")
        stage.end_clusters()
        stage.start_cluster(DATABASE_URL=f"postgres://postgres@127.0.0.1:{self.proxy.port}/armo")

    def strike(self, scene: Scene) -> float:
        """Silence the connections."""
        self.proxy.silence()
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """End the worker, then the proxy."""
        wrong = scene.stage.end_clusters()
        self.proxy.close()
        return wrong


class NoFreeSession(Fault):
    """Others take every session of the pooler for 45 s, while hooks run in two workers."""

    name = "no free session in the pooler"
    is_long = True
    moments: ClassVar[Sequence[str]] = ("busy",)
    env: ClassVar[dict[str, str]] = {WORKS_SECONDS: "3"}
    # More than one worker takes.
    traps: ClassVar[Sequence[Mode]] = (Mode.WORK,) * 8
    counts_traps = False
    spoils_worker = True
    pooler: Pooler

    @classmethod
    def cannot_run(cls) -> str:
        """Say so where there is no pooler."""
        return "" if pooler.find_program() else "PgBouncer is not installed. Try: make pooler"

    def set_up(self, stage: Stage) -> None:
        """Have two workers behind a pooler that nobody else uses."""
        stage.end_clusters()
        self.pooler = Pooler(stage.server.socket_dir, size=SESSIONS).start()
        self.database = postgres.settings(stage.server.data_dir)["NAME"]
        for _ in range(2):
            stage.start_cluster(**self.env, DATABASE_URL=self.pooler.url(self.database))

    def strike(self, scene: Scene) -> float:
        """Take them once hooks run in both workers; release one after that time, then all."""
        for cluster in scene.stage.clusters:
            wait_until(cluster.runs_hooks, seconds=20, what="a hook runs")
        with contextlib.ExitStack() as taken:
            clients = [
                taken.enter_context(self.pooler.connect(self.database)) for _ in range(SESSIONS)
            ]
            for client in clients:
                client.execute("SELECT")  # in a transaction that stays open
            wait_until_time(time.time() + TAKEN_SECONDS)
            clients[0].rollback()
            wait_until_time(time.time() + 2)
        return time.time()

    def clean_up(self, scene: Scene) -> list[str]:
        """Return which lanes ended, and which attempts were taken for a dead worker's."""
        lines = [line for cluster in scene.stage.clusters for line in cluster.lines()]
        wrong = [line for line in lines if "ended by itself" in line or "dead worker" in line]
        failed = execute("SELECT reason FROM scheduling_jobevent WHERE what = 'attempt_failed'")
        wrong += [f"attempt failed: {reason}" for (reason,) in failed]
        wrong += scene.stage.end_clusters()
        self.pooler.stop()
        return wrong


class NoRenewal(NoFreeSession):
    """No lease can be renewed for 30 s: their table is locked. Hooks run meanwhile."""

    name = "leases cannot be renewed, 30 s"
    env: ClassVar[dict[str, str]] = {WORKS_SECONDS: "25"}
    traps: ClassVar[Sequence[Mode]] = ()
    target_ms = None

    def strike(self, scene: Scene) -> float:
        """Let their table be read, and not be written."""
        clusters = scene.stage.clusters
        wait_until(lambda: any(it.runs_hooks() for it in clusters), seconds=20, what="a hook runs")
        with scene.stage.server.connect() as session:
            session.execute("LOCK TABLE armo_queue_lease IN SHARE MODE")
            wait_until_time(time.time() + 30)
        return time.time()


def all_faults() -> list[Fault]:
    """Return a new one of each."""
    return [HalfOpen(), NoFreeSession(), NoRenewal()]
