"""
The web server's settings; gunicorn finds them by itself.

Flags on its command line and GUNICORN_CMD_ARGS go first. Each number of seconds below has one of a
proxy or a platform that it must be above, or below: docs/deploying.md.
"""

import os
from pathlib import Path

import environ

# As armo/settings.py does: PORT, WEB_CONCURRENCY and WEB_THREADS may stand there too.
environ.Env.read_env(Path(__file__).with_name(".env"))


def number(name: str, default: int) -> int:
    """Return the number that a variable has; exit with one line if it is none."""
    text = os.environ.get(name, "").strip() or str(default)
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 1000:
        return int(text)
    raise SystemExit(f"{name} must be a whole number from 1 to 1000, not {text}.")


# A platform that gives a port has its router on another host.
port = os.environ.get("PORT", "").strip()
bind = f"0.0.0.0:{port}" if port else "127.0.0.1:8000"  # nosec B104

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

# A list with every filter set has a long address; the server's own default ends at 4094 bytes.
limit_request_line = 8190

# Who is the client, and whether it came by https, Django alone decides, by PROXIES: gunicorn would
# believe these headers of whatever connects from this host, also of a client of a local proxy.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# A socket by which whoever runs as this user could stop and resize the server; all servers of a
# user share its path. Signals do the same.
control_socket_disable = True
