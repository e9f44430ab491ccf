import pytest

from wayside_server.domain.refusals import MEANINGS
from wayside_server.identity.enrolment import TokenFault
from wayside_server.ingest.refusals import RefusalTally, kind_of

LINES = {
    "1: OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed": "broker: untrusted certificate",
    "1: Client connection from 127.0.0.1 failed: error:0A000086:SSL routines::certificate verify failed.": (
        "broker: untrusted certificate"
    ),
    "1: OpenSSL Error[0]: error:0A0000C7:SSL routines::peer did not return a certificate": "broker: no certificate",
    "1: OpenSSL Error[0]: error:0A000102:SSL routines::unsupported protocol": "broker: TLS older than 1.3",
    "1: Client dev-1 already connected, closing old connection.": "broker: name connected twice",
    "1: OpenSSL Error[0]: error:0A00010B:SSL routines::wrong version number": "broker: failed handshake",
    "1: New client connected from 127.0.0.1:1 as dev-1 (p5, c1, k60, u'dev-1').": None,
    "1: Client dev-1 disconnected.": None,
    "1: dev-1 1 wayside/1/dev-1/ack": None,
    "1: dev-1 1 wayside/1/dev-1/#": None,
    "1: wayside-server-1 1 $share/ingest/wayside/1/+/up": None,
    "1: dev-1 1 wayside/1/dev-2/ack": "broker: foreign topic",
    "1: dev-1 0 wayside/1/+/ack": "broker: foreign topic",
    "1: dev-1 0 #": "broker: foreign topic",
    "1: dev-1 2 $share/g/wayside/1/dev-10/ack": "broker: foreign topic",
    "1: dev-1 1 wayside/1/dev-1/certificate verify failed": None,
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_broker_is_understood(line: str) -> None:
    assert kind_of(line) == LINES[line]


def test_a_storm_of_refusals_is_one_entry_a_kind() -> None:
    tally = RefusalTally()
    for line in LINES:
        tally.note(line)
    taken = tally.take()
    assert sum(count for count, _ in taken.values()) == 10
    assert taken["broker: name connected twice"] == (1, "Client dev-1 already connected, closing old connection.")
    assert tally.take() == {}


def test_every_kind_has_its_meaning() -> None:
    written = {kind for kind in LINES.values() if kind is not None}
    written |= {f"enrolment_token_{fault.name.lower()}" for fault in TokenFault}
    written |= {"enrolment_token_missing", "enrolment_token_malformed", "certificate_request"}
    written |= {"api_key", "sign_in_link", "sign_in", "sign_in_throttled", "second_factor", "second_factor_sealed"}
    written |= {"oidc", "setup_code", "invitation"}
    assert written == set(MEANINGS)
