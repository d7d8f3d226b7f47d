"""
Settings of every environment.

Environments differ by values, not by files: each value comes from the process's environment or from
`.env` beside `manage.py`, and `.env.example` lists them all. With `DEBUG` off, settings
without a safe default must be given.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.checks.security.base import REFERRER_POLICY_VALUES
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from armo.accounts import zones
from armo.common import database_url, environment, postgres, request_counts
from armo.common.environment import given, listed, switch, whole_number
from scheduling.conf import SCHEMA

BASE_DIR = Path(__file__).resolve().parent.parent

environment.read_file(BASE_DIR / ".env")
request_counts.ignore_empty_folder()

HOURS = {"least": 1, "most": 10 * 365 * 24}
SECONDS = {"least": 1, "most": 7 * 24 * 3600}
PROCESSES = {"least": 1, "most": 1000}

DEBUG = switch("DEBUG", default=False)


def needed(name: str, *, in_development: str) -> str:
    """Return the value of a variable, as it is, that only development may leave out."""
    value = os.environ.get(name, "")
    # A list may have commas alone.
    if value.strip(", ") or DEBUG:
        return value or in_development
    raise ImproperlyConfigured(f"{name} is not set. Set it, or DEBUG=on for development.")


# How keys begin that anybody can read: in this repository, or in a new project of Django.
KNOWN_KEYS = ("only-for-", "a long random string", "django-insecure-")
SHORTEST_KEY = 32
# Different ones; Django's own check asks for as many.
FEWEST_SIGNS = 5


def secret(name: str, key: str) -> str:
    """Return a key that signs; without DEBUG, only one that nobody can know or find by trying."""
    # In quotes that a file for containers keeps, it is the same key.
    is_known = key.strip("\"' ").lower().startswith(KNOWN_KEYS)
    is_uniform = len(set(key)) < FEWEST_SIGNS
    if not DEBUG and (is_known or is_uniform or len(key) < SHORTEST_KEY):
        what = f"under {SHORTEST_KEY} characters"
        if is_known or is_uniform:
            what = (
                "publicly known"
                if is_known
                else f"of fewer than {FEWEST_SIGNS} different characters"
            )
        raise ImproperlyConfigured(f"{name} is {what}. Use a long random one, or DEBUG=on.")
    return key


SECRET_KEY = secret(
    "SECRET_KEY", needed("SECRET_KEY", in_development="only-for-development-and-known-to-everyone")
)
# Keys of before, that what was signed with them may still be read.
SECRET_KEY_FALLBACKS = [
    secret("SECRET_KEY_FALLBACKS", key) for key in listed("SECRET_KEY_FALLBACKS")
]
needed("ALLOWED_HOSTS", in_development="")
ALLOWED_HOSTS = listed(
    "ALLOWED_HOSTS",
    must="host names without scheme or port, such as news.example.org",
    is_valid=environment.ALLOWED_HOST.fullmatch,
)
CSRF_TRUSTED_ORIGINS = listed(
    "CSRF_TRUSTED_ORIGINS",
    must="a scheme and a host each, such as https://news.example.org",
    is_valid=environment.TRUSTED_ORIGIN.fullmatch,
)

# Applications

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "armo.common.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "armo.common.api.apps.TokensConfig",
    "armo.common.apps.FailuresConfig",
    "corsheaders",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "armo.common.api.apps.ApiConfig",
    "armo.accounts.apps.PeopleConfig",
    "scheduling",  # before django_q, whose command `qcluster` it replaces
    "content",
    "django_q",
]

MIDDLEWARE = [
    "armo.metrics.DurationMiddleware",
    "armo.access_log.AccessLogMiddleware",
    "armo.common.headers.HeadersMiddleware",
    "armo.health.AnyHostMiddleware",
    "armo.common.api.problems.HttpsMiddleware",  # around the next, which redirects
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "armo.common.language.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "armo.accounts.middleware.PreferencesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "armo.common.failover.FailoverMiddleware",
    # Within the CommonMiddleware, which appends slashes to what is not found.
    "content.middleware.OldAddressMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "armo.urls"
WSGI_APPLICATION = "armo.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of the applications: they replace templates of the theme.
        "DIRS": [BASE_DIR / "armo" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Database

DATABASE_URL = needed("DATABASE_URL", in_development="").strip()


def database() -> dict[str, Any]:
    """Return the connection of DATABASE_URL, or of the embedded server."""
    if DATABASE_URL:
        config = database_url.parse(DATABASE_URL)
    else:
        config = postgres.settings(BASE_DIR / (given("POSTGRES_DIR") or ".postgres"))
    config["CONN_MAX_AGE"] = None
    # Without the check, django-q2 loses the first result after a dropped connection.
    config["CONN_HEALTH_CHECKS"] = True
    # Behind a pooler the next rows of such a cursor are asked of another session. Django uses them
    # for the choices of every form.
    config["DISABLE_SERVER_SIDE_CURSORS"] = True
    config["OPTIONS"] = {
        "application_name": "armo-web",
        "connect_timeout": database_url.CONNECT_SECONDS,
        # A connection that the network dropped silently is noticed within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        **config.get("OPTIONS", {}),
    }
    return config


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Languages and time. Times are stored in UTC; TIME_ZONE is the site's own.

LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LANGUAGE_CODE = environment.choice("LANGUAGE_CODE", default="en", among=dict(LANGUAGES))
LOCALE_PATHS = [BASE_DIR / "armo" / "locale"]
TIME_ZONE = environment.text(
    "TIME_ZONE", default="UTC", must="a time zone, such as Asia/Seoul", is_valid=zones.find
)
USE_TZ = True

# Sign-in

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Attempts at passwords are limited, and logged, by armo/common/sign_in.py.
AUTHENTICATION_BACKENDS = [
    "armo.common.sign_in.LockoutBackend",
    "django.contrib.auth.backends.ModelBackend",
]
failures_in_time = environment.rate_in_time("THROTTLE_LOGIN", default="10/15min")
AXES_LOCK_OUT_AT_FAILURE = failures_in_time is not None
AXES_FAILURE_LIMIT, AXES_COOLOFF_TIME = failures_in_time or (1, timedelta(seconds=1))
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_HANDLER = "armo.common.sign_in.CountingHandler"
AXES_CLIENT_IP_CALLABLE = "armo.common.clients.network_of"
AXES_LOCKOUT_CALLABLE = "armo.common.sign_in.locked_answer"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# The theme's login page drops the page to return to, which Django's own keeps.
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 3600 * whole_number("SESSION_HOURS", default=336, **HOURS)
# The CSRF cookie is read by the admin's script: a form of a page from before a login sends the
# present token.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = switch("SECURE_COOKIES", default=not DEBUG)

# What protects the way to the browser, and the page in it: docs/security.md

# The number of proxies in front of this process. With 0, what proxies write is ignored: a client
# could write anything into X-Forwarded-For, and appear as another at each attempt at a password.
PROXIES = whole_number("PROXIES", default=0, least=0, most=100)
BEHIND_TLS_PROXY = switch("BEHIND_TLS_PROXY", default=PROXIES > 0)
if BEHIND_TLS_PROXY and not PROXIES:
    raise ImproperlyConfigured("BEHIND_TLS_PROXY=on needs PROXIES, the number of proxies in front.")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS_PROXY else None
SECURE_SSL_REDIRECT = switch("TLS_REDIRECT", default=not DEBUG)
# Monitors ask each host, without the proxy.
SECURE_REDIRECT_EXEMPT = ["^health/", "^metrics$"]
SECURE_HSTS_SECONDS = whole_number(
    "HSTS_SECONDS", default=0 if DEBUG else 31_536_000, least=0, most=10 * 31_536_000
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = switch("HSTS_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = switch("HSTS_PRELOAD", default=False)
# Both concern other hosts than this one: whoever has the domain decides.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REFERRER_POLICY = listed(
    "REFERRER_POLICY",
    must=f"of {', '.join(sorted(REFERRER_POLICY_VALUES))}",
    is_valid=REFERRER_POLICY_VALUES.__contains__,
) or ["same-origin"]
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
PERMISSIONS_POLICY = environment.text(
    "PERMISSIONS_POLICY",
    default="camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    must="one line of printable ASCII",
    is_valid=lambda value: value.isascii() and value.isprintable(),
)
# What is added to each Content-Security-Policy; the policies are in armo/common/headers.py.
CSP_OF_ALL: dict[str, Any] = {
    # In development, what a page is refused is also a line of the log.
    "report-uri": environment.text(
        "CSP_REPORT_URI",
        default="/csp-report/" if DEBUG else "",
        must="one address in ASCII",
        is_valid=environment.is_report_address,
    )
    or None
}

# The API

# The longest body of a story, even with every character escaped in JSON.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 2**20

CORS_ALLOWED_ORIGINS = listed(
    "CORS_ALLOWED_ORIGINS",
    must="a scheme and a host each, such as https://app.example.org",
    is_valid=environment.ORIGIN.fullmatch,
)
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = (
    *("accept", "accept-language", "authorization", "content-type", "x-csrftoken"),
    *("idempotency-key", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
    "x-request-id",
)
CORS_EXPOSE_HEADERS = (
    *("etag", "idempotency-replayed", "last-modified", "location", "retry-after", "x-request-id"),
)

CACHES = {
    # A cache of each web process; a shared one counts requests exactly.
    "default": environment.cache("CACHE_URL", default="locmemcache://")
}


REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "armo.common.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["armo.common.api.parsers.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "armo.common.api.negotiation.Negotiation",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "armo.common.api.pages.KeysetPages",
    "DEFAULT_SCHEMA_CLASS": "armo.common.api.schema.ArmoSchema",
    "DEFAULT_THROTTLE_CLASSES": [
        "armo.common.api.throttles.AnonymousThrottle",
        "armo.common.api.throttles.UserThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": environment.rate("THROTTLE_ANONYMOUS", default="600/min"),
        "user": environment.rate("THROTTLE_USER", default="3000/min"),
        "bulk": environment.rate("THROTTLE_BULK", default="60/min"),
    },
    "EXCEPTION_HANDLER": "armo.common.api.problems.answer",
    # No `?format=`: answers are JSON.
    "URL_FORMAT_OVERRIDE": None,
    "NUM_PROXIES": PROXIES,
}

REST_KNOX = {"TOKEN_TTL": timedelta(hours=whole_number("TOKEN_HOURS", default=168, **HOURS))}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Armo",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "DEFAULT_GENERATOR_CLASS": "armo.common.api.schema.EnglishDocument",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "armo.common.api.schema.describe_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "Status": "scheduling.models.status_choices",
        "Kind": "scheduling.models.kind_choices",
        "State": "scheduling.models.State",
        "What": "scheduling.models.JobEvent.What",
        "RerunState": [("failed", "failed")],
        "WantedStatus": [("draft", "draft"), ("scheduled", "scheduled")],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None, "filter": True},
}

# Metrics

# The secret with which Prometheus reads /metrics; without one there are none, but in development.
METRICS_TOKEN = given("METRICS_TOKEN")
if METRICS_TOKEN and not environment.TOKEN.fullmatch(METRICS_TOKEN):
    raise environment.refusal(
        "METRICS_TOKEN", "at least 16 printable characters of ASCII without blanks"
    )

# The admin

# For how many hours a link to a preview works.
PREVIEW_HOURS = whole_number("PREVIEW_HOURS", default=72, **HOURS)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Armo",
    "SITE_HEADER": "Armo",
    "SITE_SYMBOL": "schedule_send",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "armo.menu.favicon"}],
    "SHOW_HISTORY": True,
    "GLOBAL_CALLBACK": "scheduling.admin.banner.everywhere",
    "DASHBOARD_CALLBACK": "scheduling.admin.dashboard.context",
    "SIDEBAR": {"navigation": "armo.menu.navigation"},
    "ACCOUNT": {"navigation": "armo.menu.account"},
    "STYLES": ["armo.menu.colors", "armo.menu.style"],
    "SCRIPTS": ["armo.menu.script", "armo.menu.theme_script", "armo.menu.alpine_script"],
}

# Static files, few and small: the web process serves them itself. Those of `collectstatic` have
# names that change with their content, so browsers keep them for good.

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / (given("STATIC_ROOT") or "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "armo.common.static.HashedFiles"},
}
STATICFILES_DIRS = [BASE_DIR / "armo" / "static"]
WHITENOISE_USE_FINDERS = True
# Pages of other sites have no use for them.
WHITENOISE_ALLOW_ALL_ORIGINS = False

# Mail

vars().update(environment.mail_server("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = environment.text(
    "DEFAULT_FROM_EMAIL",
    default="armo@localhost",
    must="an address of mail, such as Armo <armo@example.org>",
    is_valid=environment.is_mail_address,
)
EMAIL_TIMEOUT = 10
# What the site's absolute addresses begin with. When it is not given, those in answers begin with
# what the request has asked for, and those in mail with this guess.
SITE_URL = environment.text(
    "SITE_URL",
    default="",
    must="an address such as https://news.example.org",
    is_valid=environment.is_address_of_site,
).rstrip("/")
GUESSED_SITE_URL = ""
if not SITE_URL:
    # Of `.example.org`, which stands for its subdomains too, the domain itself; `*` is no host.
    hosts = [host.removeprefix(".") for host in ALLOWED_HOSTS if "*" not in host]
    if ALLOWED_HOSTS and not hosts and not DEBUG:
        raise ImproperlyConfigured("SITE_URL is not set, and ALLOWED_HOSTS names no host.")
    local = f"http://127.0.0.1:{whole_number('PORT', default=8000, least=1, most=65_535)}"
    SITE_URL = GUESSED_SITE_URL = f"https://{hosts[0]}" if hosts else local

# The publisher

WORKERS = whole_number("WORKERS", default=2, **PROCESSES)
SLOW_WORKERS = whole_number("SLOW_WORKERS", default=2, **PROCESSES)
# Seconds that a type's own `before_publish()` may take.
HOOK_TIMEOUT = whole_number("HOOK_TIMEOUT", default=60, **SECONDS)
# Seconds that running tasks have to finish when the worker is stopped.
STOP_AFTER = whole_number("STOP_AFTER", default=25, **SECONDS)
# Seconds after which PostgreSQL ends the sessions, and so the locks, of a host that has vanished.
VANISHED_AFTER = whole_number("VANISHED_AFTER", default=20, least=0, most=3600)
if VANISHED_AFTER in (1, 2):
    raise ImproperlyConfigured("VANISHED_AFTER must be 0, or a number of seconds from 3 to 3600.")
# Set to nothing: no further attempts.
RETRY_DELAYS = environment.whole_numbers(
    "RETRY_DELAYS", default=[10, 60, 300], least=0, most=SECONDS["most"]
)
OVERDUE_AFTER = whole_number("OVERDUE_AFTER", default=60, **SECONDS)
SWEEP_EVERY = whole_number("SWEEP_EVERY", default=60, **SECONDS)
# After how many days the worker deletes finished jobs; 0: never.
PRUNE_AFTER_DAYS = whole_number("PRUNE_AFTER_DAYS", default=0, least=0, most=36_500)
# On: whether a pooler stands before PostgreSQL is found out. Off: there is one, and workers poll.
QUEUE_LISTEN = switch("QUEUE_LISTEN", default=True)

# Where the tables are; empty: where PostgreSQL looks first for this role.
DATABASE_SCHEMA = environment.text(
    "DATABASE_SCHEMA",
    default="",
    must="the name of a schema in small letters, digits and _, at most 40",
    is_valid=SCHEMA.fullmatch,
)

# In which time zone and language a person reads what the engine writes to them.
LOCALE_OF = "armo.accounts.locale.locale_of"
# Addresses that get a mail when a job has failed, beside the person who scheduled it.
FAILURE_EMAILS = listed(
    "FAILURE_EMAILS",
    must="addresses of mail, such as ops@example.org",
    is_valid=environment.is_mail_address,
)

# The lanes, and what else django-q2 needs, come from the engine: scheduling/conf.py.
Q_CLUSTER: dict[str, Any] = {
    "name": "armo",  # also the salt of every queue row: changing it makes existing ones unreadable
    "orm": "default",
    "broker_class": "scheduling.broker.TimedBroker",
    "label": "django-q2",
    "time_zone": "UTC",
}

# Log

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMAT = environment.choice("LOG_FORMAT", default="console", among=("console", "json"))
LOG_LEVEL = environment.choice("LOG_LEVEL", default="INFO", among=LOG_LEVELS)
QUEUE_LOG_LEVEL = environment.choice("QUEUE_LOG_LEVEL", default="WARNING", among=LOG_LEVELS)

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "console": {"()": "armo.common.logging.ConsoleFormatter"},
        "json": {"()": "armo.common.logging.JsonFormatter"},
    },
    "filters": {
        "refusals": {"()": "armo.common.logging.Refusals"},
        "request_id": {"()": "scheduling.tracing.RequestIdFilter"},
    },
    "handlers": {
        "stderr": {
            "class": "armo.common.logging.StderrHandler",
            "formatter": LOG_FORMAT,
            "filters": ["refusals", "request_id"],
        },
        "mail_admins": {"class": "django.utils.log.AdminEmailHandler", "level": "ERROR"},
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Without the console of Django's own, which in development prints each line once more.
        "django": {"handlers": ["mail_admins"]},
        "armo.access": {} if switch("ACCESS_LOG", default=True) else {"level": "WARNING"},
        # Its line for each task at INFO would drown the publish log.
        "django-q": {"level": QUEUE_LOG_LEVEL},
    },
}

DEFAULT_EXCEPTION_REPORTER_FILTER = "armo.common.error_reports.WithoutAddresses"

# Spans and errors for collectors, where a site has them: docs/logging.md

is_collected = any(name.startswith("OTEL_") and given(name) for name in os.environ)
if is_collected and given("OTEL_SDK_DISABLED").lower() != "true":
    from armo import telemetry

    telemetry.start_tracing()
if SENTRY_DSN := given("SENTRY_DSN"):
    from armo import telemetry

    telemetry.start_sentry(SENTRY_DSN)
