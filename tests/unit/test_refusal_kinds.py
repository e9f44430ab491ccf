import pytest

from wayside_server.domain.refusals import DELETED_DEVICE, MEANINGS, REVOKED_DEVICE, TOO_MANY_MESSAGES
from wayside_server.identity.enrolment import FIXES
from wayside_server.identity.tokens import TokenFault
from wayside_server.identity.waiting import WaitRefused
from wayside_server.ingest.refusals import MOST_DEVICES, RefusalTally, kind_of

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


def test_a_storm_of_refusals_is_one_entry_a_kind_and_device() -> None:
    tally = RefusalTally()
    for line in [*LINES, "2: Client dev-2 already connected, closing old connection."]:
        tally.note(line)
    taken = tally.take()
    assert sum(count for count, _ in taken.values()) == 11
    assert taken["broker: name connected twice", "dev-1"] == (
        1,
        "Client dev-1 already connected, closing old connection.",
    )
    assert taken["broker: foreign topic", "dev-1"][0] == 4
    assert {device for kind, device in taken if kind == "broker: untrusted certificate"} == {None}
    assert tally.take() == {}


def test_a_storm_of_devices_is_bounded_and_loses_no_count() -> None:
    tally = RefusalTally()
    for number in range(1, 1000):
        tally.note(f"1: Client dev-{number} already connected, closing old connection.")
    taken = tally.take()
    assert len(taken) == MOST_DEVICES + 1
    assert sum(count for count, _ in taken.values()) == 999


def test_every_kind_has_its_meaning() -> None:
    written = {kind for kind in LINES.values() if kind is not None}
    written |= {f"enrolment_token_{fault.name.lower()}" for fault in TokenFault}
    written |= {"enrolment_token_malformed", "certificate_request", "certificate_key_shared", "certificate_too_many"}
    written |= (
        set(FIXES) | {why.value for why in WaitRefused} | {"enrolment_displaced", "enrolment_tenant_full", "claim_code"}
    )
    written |= {"api_key", "sign_in_link", "sign_in", "sign_in_throttled", "second_factor", "second_factor_sealed"}
    written |= {"old_passphrase", "permission", "oidc", "setup_code", "invitation"}
    written |= {REVOKED_DEVICE, DELETED_DEVICE, TOO_MANY_MESSAGES}
    assert written == set(MEANINGS)
