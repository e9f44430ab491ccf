"""Network addresses: as which one somebody is counted, and whom a proxy speaks for."""

import ipaddress
from collections.abc import Iterable
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks: TypeAlias = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
_IPV6_SITE_BITS: Final = 64
"""Whoever has one IPv6 address has all of its network (RFC 6177)."""


def address_of(text: str) -> Address | None:
    """The address that `text` is, IPv4 in IPv6 (`::ffff:192.0.2.1`) as IPv4; None when it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return found if found.version == 4 else found.ipv4_mapped or found


def network_of(text: str) -> str:
    """Under which name the address `text` is counted: an IPv6 address as its network, what is no address as it is."""
    found = address_of(text)
    if found is None:
        return text
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, _IPV6_SITE_BITS), strict=False))


def networks_of(texts: Iterable[str]) -> Networks:
    """The networks, or single addresses, that `texts` are.

    Raises:
        ValueError: one is none.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def is_within(text: str, networks: Networks) -> bool:
    """Whether `text` is an address in one of `networks`."""
    found = address_of(text)
    return found is not None and any(found in network for network in networks)


def client_behind(peer: str, forwarded_for: str, proxies: Networks) -> str:
    """Who asks: `peer`, or when that is a proxy to be trusted, the last address it names that is none.

    Args:
        peer: who is on the connection.
        forwarded_for: the addresses of X-Forwarded-For; each proxy appends from whom it has the request, so that what
            is before the first that is not trusted may be made up. What is no address ends the search.
        proxies: the ones to trust.
    """
    asker = peer
    for part in reversed(forwarded_for.split(",")):
        if not is_within(asker, proxies):
            break
        found = None if "%" in part else address_of(_without_port(part.strip()))
        if found is None:
            break
        asker = str(found)
    return asker


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
