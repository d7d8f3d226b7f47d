"""Where a request comes from."""

import logging
from typing import Any

import pytest
from django.test import RequestFactory

from armo.common import clients


def network(peer: str, forwarded: str | None = None) -> str | None:
    headers: dict[str, Any] = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return clients.network_of(RequestFactory().get("/", REMOTE_ADDR=peer, **headers))


@pytest.fixture
def proxies(settings: Any) -> Any:
    def are(number: int) -> None:
        settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": number}

    return are


class TestAClientWithoutAProxy:
    @pytest.mark.parametrize(
        ("peer", "expected"),
        [
            ("203.0.113.9", "203.0.113.9"),
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("fe80::1%eth0", "fe80::"),
            ("", None),
            ("unix:", None),
        ],
    )
    def test_is_its_address_or_its_64(self, peer: str, expected: str | None) -> None:
        assert network(peer) == expected

    @pytest.mark.parametrize("peer", ["203.0.113.9", "8.8.8.8", "2001:db8::"])
    def test_is_no_other_by_a_header(self, peer: str) -> None:
        assert network(peer, "198.51.100.1") == peer


class TestAClientBehindAProxy:
    @pytest.mark.parametrize(
        ("forwarded", "expected"),
        [
            ("198.51.100.1", "198.51.100.1"),
            ("10.9.9.9, 198.51.100.1", "198.51.100.1"),  # the first is the client's own claim
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db8:1:2::5]:4711", "2001:db8:1:2::"),
            ("2001:db8:1:2::5", "2001:db8:1:2::"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("198.51.100.1, unknown", None),
            ("198.51.100.1, \x00\n", None),
            ("", None),
            (None, None),
        ],
    )
    def test_is_what_the_proxy_says(
        self, proxies: Any, forwarded: str | None, expected: str | None
    ) -> None:
        proxies(1)

        assert network("127.0.0.1", forwarded) == expected

    def test_is_what_the_outermost_of_two_says(self, proxies: Any) -> None:
        proxies(2)

        assert network("127.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2") == "198.51.100.1"

    @pytest.mark.parametrize(
        "peer", ["127.0.0.1", "::1", "10.0.0.2", "fd00::2", "fe80::2", "100.64.0.1", ""]
    )
    def test_is_unknown_when_no_proxy_is_counted(self, peer: str) -> None:
        assert network(peer, "198.51.100.1") is None

    def test_is_warned_of_once_for_each_proxy(self, caplog: pytest.LogCaptureFixture) -> None:
        clients._warn.cache_clear()

        with caplog.at_level(logging.WARNING, "armo.common.clients"):
            for _ in range(3):
                network("10.0.0.7", "198.51.100.1")

        [line] = caplog.messages
        assert "PROXIES is 0, but 10.0.0.7 sends X-Forwarded-For" in line
