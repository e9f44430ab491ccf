"""Network addresses: as which one somebody is counted."""

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
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
