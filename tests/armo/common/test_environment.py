"""Every variable of Armo's settings, with values that it may have and values that it may not."""

import ast
import re
import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SETTINGS = Path(settings.BASE_DIR) / "armo" / "settings.py"
EXAMPLE = (Path(settings.BASE_DIR) / ".env.example").read_text(encoding="utf-8")
KEY = "N3xP7q-of-no-use-elsewhere-" + "k3Yz" * 8
ENOUGH = {
    "DEBUG": "off",
    "SECRET_KEY": KEY,
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nowhere",
    "ALLOWED_HOSTS": "news.example.org",
}

# By the function that reads a variable.
BAD = {
    "switch": ["maybe", "2", "on  # for now"],
    "whole_number": ["two", "-1", "1e3", "1.5", "0x10", "1_0", "٣", "99999999999", "5 seconds"],
    "whole_numbers": ["soon", "10;60", "-1", "1.5", "10,,x", "99999999999"],
    "rate": ["ten", "10", "0/min", "-5/min", "10/fortnight", "10/month", "10/15min", "10 / min"],
    "rate_in_time": ["ten", "10", "0/min", "10/0min", "10/month", "10/15"],
    "choice": ["nonsense", "en,ko"],
    "mail_server": ["nonsense", "smtp://", "smtp://host:x", "smtp://host:99999", "filemail://"],
    "cache": [
        "nonsense",
        "rediscache://127.0.0.1:x/1",
        "rediscache://127.0.0.1:6379/1",
        "memcache://h:1",
    ],
}
# By the variable, where each has its own rule.
BAD_OF = {
    "ALLOWED_HOSTS": ["https://news.example.org", "a b", "a:443", "a;b", "a/b", "뉴스.example"],
    "CSRF_TRUSTED_ORIGINS": ["news.example.org", "https://", "https://a/", "https://a b", "*"],
    "CORS_ALLOWED_ORIGINS": ["app.example.org", "https://", "https://a/x", "https://a;https://b"],
    "FAILURE_EMAILS": ["ops", "ops@example.org;desk@example.org", "@", "ops@", "Ops <ops@a"],
    "DEFAULT_FROM_EMAIL": ["nobody", "a@b\nBcc: c@d", "a@b, c@d"],
    "SITE_URL": ["news.example.org", "https://a b", "https://a:99999", "https://a?x", "https://"],
    "TIME_ZONE": ["Seoul", "Asia", "../etc/passwd", "UTC+9"],
    "PERMISSIONS_POLICY": ["camera=()\nx", "카메라=()"],
    "CSP_REPORT_URI": ["/a; script-src *", "/a,b", "/a\nb", "/가"],
    "METRICS_TOKEN": ["short", "long-but-with a-blank-in-it", "비밀이고열여섯글자가넘는긴토큰이다"],
    "DATABASE_SCHEMA": ["Armo", "a b", "a;b", "pg_x", "information_schema", "1a", "a" * 41, "뉴스"],
    "SENTRY_DSN": [
        *("nonsense", "https://sentry.example.org/1", "https://key@sentry.example.org"),
        *("https://key@sentry.example.org:x/1", "https://key@[sentry/1"),
    ],
    "REFERRER_POLICY": ["nonsense", "same-origin, nonsense"],
    "DATABASE_URL": [
        *("sqlite:///x", "$OTHER", "nonsense", "postgres://u@h", "postgres://u@h:0/armo"),
        *("postgres://u@h/armo?keepalives_idle=ten", "postgres://u@h/armo?tcp_user_timeout=-1"),
        *("postgres://u@h/armo?sslmode=maybe", "postgres://u@h/armo?connect_timeout=99999999999"),
    ],
}
ANY_TEXT = {
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "POSTGRES_DIR",
    "STATIC_ROOT",
    "OTEL_SDK_DISABLED",
}


def read_calls() -> dict[str, str]:
    """Return which function reads which variable in the settings."""
    calls: dict[str, str] = {}
    for node in ast.walk(ast.parse(SETTINGS.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name, reader = (
                str(node.args[0].value),
                ast.unparse(node.func).removeprefix("environment."),
            )
            if reader in (*BAD, "listed", "text", "given", "needed"):
                calls[name] = reader
    return calls


READERS = read_calls()


def read_settings(monkeypatch: pytest.MonkeyPatch, **env: str) -> dict[str, Any]:
    """Run the settings with these variables alone."""
    for name in READERS:
        # Not deleted: a developer's `.env` must not come into it.
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("RETRY_DELAYS")
    for name, value in {**ENOUGH, **env}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(SETTINGS))


class TestEveryVariable:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (name, value)
            for name, reader in READERS.items()
            for value in BAD_OF.get(name) or BAD.get(reader, [])
        ],
    )
    def test_with_a_bad_value_is_named_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        with pytest.raises(ImproperlyConfigured) as error:
            read_settings(monkeypatch, **{name: value})

        line = str(error.value)
        assert line.startswith(f"{name} ")
        assert line.isprintable()

    def test_has_bad_values_to_be_tried_with(self) -> None:
        tried = {name for name, reader in READERS.items() if reader in BAD or name in BAD_OF}

        assert {*READERS} - tried == ANY_TEXT

    def test_stands_in_the_file_of_examples(self) -> None:
        examples = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, re.MULTILINE)

        assert {*READERS} - {*examples} <= {"OTEL_SDK_DISABLED"}  # OpenTelemetry has it

    def test_may_be_taken_from_the_file_of_examples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        examples = dict(re.findall(r"^# ([A-Z_]+)=(.+)$", EXAMPLE, re.MULTILINE))
        for name in [name for name in examples if name.startswith(("OTEL_", "SENTRY_"))]:
            del examples[name]  # they would be started
        del examples["CACHE_URL"], examples["PROXIES"]  # one needs a package, one another
        by_default = read_settings(monkeypatch)

        values = read_settings(monkeypatch, **examples, PROXIES="1")

        for name in ("RETRY_DELAYS", "AXES_COOLOFF_TIME", "REST_KNOX", "PERMISSIONS_POLICY"):
            assert values[name] == by_default[name]

    def test_may_be_empty_which_is_as_if_it_were_not_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = read_settings(monkeypatch, **dict.fromkeys({*READERS} - {*ENOUGH}, " "))

        found = (
            *(values[name] for name in ("TIME_ZONE", "LANGUAGE_CODE", "WORKERS", "LOG_LEVEL")),
            *(values[name] for name in ("DEFAULT_FROM_EMAIL", "AXES_FAILURE_LIMIT")),
            *(values[name] for name in ("SECURE_SSL_REDIRECT", "QUEUE_LISTEN", "PROXIES")),
            values["CACHES"]["default"]["BACKEND"].rpartition(".")[2],
            values["EMAIL_BACKEND"].rpartition(".")[0],
        )
        assert found == (
            *("UTC", "en", 2, "INFO", "armo@localhost", 10, True, True, 0),
            *("LocMemCache", "django.core.mail.backends.console"),
        )

    @pytest.mark.parametrize(
        ("name", "value", "setting", "expected"),
        [
            ("SECRET_KEY", f"${KEY} ", "SECRET_KEY", f"${KEY} "),
            ("RETRY_DELAYS", "", "RETRY_DELAYS", []),
            ("RETRY_DELAYS", "0,5 ,", "RETRY_DELAYS", [0, 5]),
            (
                "SECRET_KEY_FALLBACKS",
                f"${KEY}1, {KEY}2,",
                "SECRET_KEY_FALLBACKS",
                [f"${KEY}1", f"{KEY}2"],
            ),
            ("LOG_LEVEL", "debug", "LOG_LEVEL", "DEBUG"),
            ("LANGUAGE_CODE", "KO", "LANGUAGE_CODE", "ko"),
            ("TIME_ZONE", " Asia/Seoul ", "TIME_ZONE", "Asia/Seoul"),
            ("ALLOWED_HOSTS", ".a.org, [::1],*", "ALLOWED_HOSTS", [".a.org", "[::1]", "*"]),
            (
                "CSRF_TRUSTED_ORIGINS",
                "https://*.a.org:8443,",
                "CSRF_TRUSTED_ORIGINS",
                ["https://*.a.org:8443"],
            ),
            (
                "CORS_ALLOWED_ORIGINS",
                "capacitor://localhost",
                "CORS_ALLOWED_ORIGINS",
                ["capacitor://localhost"],
            ),
            (
                "FAILURE_EMAILS",
                "편집국 <a@b.org>, c@relay",
                "FAILURE_EMAILS",
                ["편집국 <a@b.org>", "c@relay"],
            ),
            ("SITE_URL", "https://a.org/news/", "SITE_URL", "https://a.org/news"),
            ("EMAIL_URL", "smtp+tls://u:p%40w@m.org:587", "EMAIL_HOST_PASSWORD", "p@w"),
            ("THROTTLE_LOGIN", "20/min", "AXES_FAILURE_LIMIT", 20),
            ("THROTTLE_LOGIN", "20/2Hours", "AXES_COOLOFF_TIME", timedelta(hours=2)),
            ("THROTTLE_LOGIN", "off", "AXES_LOCK_OUT_AT_FAILURE", False),
            (
                "CSP_REPORT_URI",
                "https://a.org/r?x=1",
                "CSP_OF_ALL",
                {"report-uri": "https://a.org/r?x=1"},
            ),
        ],
    )
    def test_is_read_as_it_is_meant(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, setting: str, expected: Any
    ) -> None:
        values = read_settings(monkeypatch, **{name: value})

        assert values[setting] == expected


class TestAnError:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", "postgres://u:hidden@h:x/armo"),
            ("EMAIL_URL", "smtp://u:hidden@h:x"),
            ("CACHE_URL", "rediscache://:hidden@h:x/1"),
            ("METRICS_TOKEN", "hidden-with a-blank-in-it"),
        ],
    )
    def test_does_not_repeat_a_password(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        with pytest.raises(ImproperlyConfigured) as error:
            read_settings(monkeypatch, **{name: value})

        assert "hidden" not in str(error.value)

    def test_shortens_what_is_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ImproperlyConfigured) as error:
            read_settings(monkeypatch, WORKERS="9" * 100_000)

        assert len(str(error.value)) < 150
