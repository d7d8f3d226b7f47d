"""
The web server's settings; gunicorn finds them by itself.

Flags on its command line and GUNICORN_CMD_ARGS go first. Each number of seconds below has one of a
proxy or a platform that it must be above, or below: docs/deploying.md.
"""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from armo.common import request_counts
from armo.common.environment import given, read_file, whole_number

# As armo/settings.py does: PORT, WEB_CONCURRENCY, WEB_THREADS and LOG_FORMAT may stand there.
try:
    read_file(Path(__file__).with_name(".env"))
except ImproperlyConfigured as error:
    sys.exit(str(error))


def number(name: str, default: int, most: int = 1000) -> int:
    """Return the number that a variable has; exit with one line if it is none."""
    try:
        return whole_number(name, default=default, least=1, most=most)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


# A platform that gives a port has its router on another host.
host = "0.0.0.0" if given("PORT") else "127.0.0.1"  # noqa: S104  # nosec B104
bind = f"{host}:{number('PORT', default=8000, most=65_535)}"

# Each thread keeps a connection to PostgreSQL: 16 a host at most, unless more are asked for. In a
# container the cores are those of the host, which is another reason for a limit.
workers = number("WEB_CONCURRENCY", default=min(os.cpu_count() or 1, 4))
threads = number("WEB_THREADS", default=4)

# Running requests are answered before it ends. Platforms kill what is left after 30 s.
graceful_timeout = 25
# A connection that a proxy keeps open must not be closed here just when it sends a request. Routers
# of platforms close theirs after 60 to 90 s.
keepalive = 100
# A worker shows that it lives by touching a file: on a disk that is busy it would seem dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # nosec B108

# Its own lines look like all others. There is no access log here: Django writes one line for each
# request, which knows the user and the request's id (armo/access_log.py).
logger_class = "armo.common.gunicorn_logger.GunicornLogger"

# A list with every filter set has a long address; the server's own default ends at 4094 bytes.
limit_request_line = 8190

# Who is the client, and whether it came by https, Django alone decides, by PROXIES: gunicorn would
# believe these headers of whatever connects from this host, also of a client of a local proxy.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# A socket by which whoever runs as this user could stop and resize the server; all servers of a
# user share its path. Signals do the same.
control_socket_disable = True


def on_starting(_server: Any) -> None:
    """
    End with one line if a setting is bad, before there are workers, which would each say so.

    A process of its own reads the settings: each worker has to read them anew when it starts.
    """
    if pid := os.fork():
        if status := os.waitpid(pid, 0)[1]:
            sys.exit(os.waitstatus_to_exitcode(status))
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "armo.settings")
    try:
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


# Web processes count requests in files that they share: each answers /metrics for all.
request_counts.make_folder()


def when_ready(server: Any) -> None:
    """Let the web processes write there, whatever their user."""
    request_counts.hand_over_folder(server.cfg.uid, server.cfg.gid)


def child_exit(server: Any, worker: Any) -> None:
    """Keep what a web process has counted that has ended."""
    try:
        request_counts.keep_counts_of(worker.pid)
    except OSError as error:  # such as a full disk; the server would end by it
        server.log.warning("The counts of an ended process could not be kept: %s", error)
