"""As which address somebody is counted."""

import pytest

from wayside_server.domain.addresses import client_behind, network_of, networks_of


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_an_address_is_counted_as(address: str, counted: str) -> None:
    assert network_of(address) == counted


PROXIES = networks_of(["192.0.2.0/24", "2001:db8::/64"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "asker"),
    [
        ("198.51.100.1", "203.0.113.7", "198.51.100.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.7", "203.0.113.7"),
        ("192.0.2.1", "203.0.113.8, 203.0.113.7", "203.0.113.7"),
        ("192.0.2.1", "203.0.113.8, 203.0.113.7 , 192.0.2.2", "203.0.113.7"),
        ("::ffff:192.0.2.1", "203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "[2001:db8:1::7]:4711", "2001:db8:1::7"),
        ("2001:db8::1", "2001:db8:1::7", "2001:db8:1::7"),
        ("192.0.2.1", "192.0.2.3, 192.0.2.2", "192.0.2.3"),
        ("192.0.2.1", "203.0.113.7, nonsense, 192.0.2.2", "192.0.2.2"),
        ("192.0.2.1", "fe80::1%<b>", "192.0.2.1"),
        ("192.0.2.1", "1.2.3.4.5:6:7,", "192.0.2.1"),
    ],
)
def test_of_whom_a_proxy_speaks(peer: str, forwarded: str, asker: str) -> None:
    assert client_behind(peer, forwarded, PROXIES) == asker
