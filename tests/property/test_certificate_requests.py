"""Strangers choose the bytes: names, requests and tokens either pass the rules or are refused by their own error."""

import re
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from wayside_server.identity.authority import (
    Authority,
    CertificateRequestError,
    create_authority,
    new_key,
    read_request,
)
from wayside_shared.enrolment import EnrolmentToken, parse_token
from wayside_shared.errors import ConfigError
from wayside_shared.identifiers import DEVICE_ID_PATTERN

NOW = datetime(2030, 1, 2, tzinfo=UTC)
ROOT, INTERMEDIATE = create_authority(NOW)
AUTHORITY = Authority(ROOT.certificate, INTERMEDIATE)
KEY = new_key()
REQUEST = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
    .sign(KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)
hostile = st.text(alphabet=st.sampled_from("ab-7+#/$\0.\n é"), min_size=0, max_size=70)


@given(st.one_of(hostile, st.text(), st.from_regex(DEVICE_ID_PATTERN)))
def test_no_certificate_has_a_name_outside_the_pattern(name: str) -> None:
    try:
        leaf = AUTHORITY.issue_device(name, KEY.public_key(), now=NOW, days=1)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{2,62}", name)
    assert not name.startswith("wayside-")
    assert [attribute.value for attribute in leaf.subject] == [name]


@given(st.binary(max_size=2000))
def test_garbage_is_refused_by_its_own_error(data: bytes) -> None:
    try:
        read_request(data)
    except CertificateRequestError:
        return
    raise AssertionError("garbage was taken")


@given(st.integers(0, len(REQUEST) * 8 - 1))
def test_a_flipped_bit_is_refused_by_its_own_error(bit: int) -> None:
    data = bytearray(REQUEST)
    data[bit // 8] ^= 1 << bit % 8
    try:
        read_request(bytes(data))
    except CertificateRequestError:
        return
    raise AssertionError("an altered request was taken")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_token_survives_its_text(secret: bytes, fingerprint: bytes) -> None:
    token = EnrolmentToken(secret, fingerprint)
    assert parse_token(f" {token}\n") == token


@given(st.one_of(st.text(), st.from_regex(r"wst1\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")))
def test_what_is_no_token_is_refused_without_repeating_it(text: str) -> None:
    try:
        token = parse_token(text)
    except ConfigError as error:
        message = str(error)
    else:
        message = ""
        assert len(token.secret) == len(token.fingerprint) == 32
    assert len(text) < 12 or text not in message
