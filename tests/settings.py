"""
Armo's own settings, with the values of a test run.

Only the environment is set here, for this process and the workers it starts: a developer's `.env`
must not reach the tests, and the tests must not reach a developer's database.
"""

import os
import tempfile
from pathlib import Path

os.environ.update(
    DEBUG="on",
    SECRET_KEY="only-for-tests",
    DATABASE_URL="",
    POSTGRES_DIR=str(Path(tempfile.gettempdir()).resolve() / f"armo-test-{os.getpid()}"),
    STATIC_ROOT=str(Path(tempfile.gettempdir()).resolve() / "no-static-files"),
    ALLOWED_HOSTS="",
    PROXIES="0",
    BEHIND_TLS_PROXY="off",
    TLS_REDIRECT="off",
    SECURE_COOKIES="off",
    HSTS_SECONDS="0",
    SITE_URL="",
    TIME_ZONE="UTC",
    LANGUAGE_CODE="en",
    LOG_FORMAT="console",
    LOG_LEVEL="INFO",
    ACCESS_LOG="on",
    QUEUE_LOG_LEVEL="WARNING",
    METRICS_TOKEN="",
    OTEL_SDK_DISABLED="true",
    SENTRY_DSN="",
    WORKERS="2",
    RETRY_DELAYS="10,60,300",
    OVERDUE_AFTER="60",
    SWEEP_EVERY="60",
    QUEUE_LISTEN="on",
    EMAIL_URL="memorymail://",
)

from armo.settings import *  # noqa: F403 (the environment comes first)

# Otherwise each test client would list every static file anew.
WHITENOISE_AUTOREFRESH = True

# The hash of real sites takes a quarter of a second on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
