"""Where a request comes from: the client's address, and the network that attempts count by."""

import logging
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

# What one customer of a provider has at least, so that they can change the rest of it at will.
IPV6_PREFIX = 64

# Where a proxy of the site's own may be: this host, its links, private networks, shared addresses.
NEAR = [
    ip_network(it)
    for it in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"),
    )
]

logger = logging.getLogger(__name__)


def address_of(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """
    Return the client's address; None when it cannot be known.

    With `PROXIES`, it is what the outermost of them has written into X-Forwarded-For. Without, it
    is the peer's, unless that is a proxy all the same: a private address that passes on for others.
    All clients have that in common, so nothing may be counted by it.
    """
    peer = _parse(request.META.get("REMOTE_ADDR", ""))
    entries = [it for it in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if it.strip()]
    proxies = settings.REST_FRAMEWORK["NUM_PROXIES"]
    if proxies:
        client = _parse(entries[-min(proxies, len(entries))]) if entries else None
    else:
        client = None if entries and _is_near(peer) else peer
    if client is None and peer is not None:
        _warn(str(peer), proxies)
    return client


def network_of(request: HttpRequest) -> str | None:
    """Return the first address of the client's network: its own for IPv4, a /64 for IPv6."""
    address = address_of(request)
    return None if address is None else str(network_around(address))


def network_around(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the first address of the network that an address is counted with."""
    if isinstance(address, IPv4Address):
        return address
    # From the integer: an address with a zone, as fe80::1%eth0, is in no network.
    return IPv6Network((int(address), IPV6_PREFIX), strict=False).network_address


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in an entry of X-Forwarded-For; some proxies write its port as well."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_near(peer: IPv4Address | IPv6Address | None) -> bool:
    """Return whether the peer may be a proxy of the site's own; None is a Unix socket."""
    return peer is None or any(peer in network for network in NEAR)


@lru_cache(maxsize=64)  # once for each peer, in each process
def _warn(peer: str, proxies: int) -> None:
    logger.warning(
        "The addresses of clients are not known: PROXIES is %s, but %s %s X-Forwarded-For."
        " Failed sign-ins are counted by account alone.",
        *(proxies, peer, "sends no valid" if proxies else "sends"),
        extra={"peer": peer, "proxies": proxies},
    )
