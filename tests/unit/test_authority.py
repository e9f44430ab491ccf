"""The certificates that the authority issues."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from wayside_server.identity.authority import (
    Authority,
    CertificateRequestError,
    Signer,
    create_authority,
    new_key,
    read_request,
)

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def signers() -> tuple[Signer, Signer]:
    return create_authority(NOW)


@pytest.fixture(scope="module")
def authority(signers: tuple[Signer, Signer]) -> Authority:
    return Authority(signers[0].certificate, signers[1])


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "anything") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_root_and_intermediate_hold_to_their_path_lengths(signers: tuple[Signer, Signer]) -> None:
    lengths = [
        s.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length for s in signers
    ]
    assert lengths == [1, 0]
    assert all(isinstance(s.key.curve, ec.SECP256R1) for s in signers)
    signers[1].certificate.verify_directly_issued_by(signers[0].certificate)


def test_a_device_certificate_verifies_as_a_client_only(signers: tuple[Signer, Signer], authority: Authority) -> None:
    leaf = authority.issue_device("boiler-7", new_key().public_key(), now=NOW, days=90)
    builder = PolicyBuilder().store(Store([signers[0].certificate])).time(NOW)
    leaf.verify_directly_issued_by(signers[1].certificate)
    with pytest.raises(VerificationError):
        builder.build_server_verifier(x509.DNSName("boiler-7")).verify(leaf, [signers[1].certificate])
    uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_certificate_verifies_for_its_hosts(signers: tuple[Signer, Signer], authority: Authority) -> None:
    leaf = authority.issue_server(["telemetry.example", "127.0.0.1"], new_key().public_key(), now=NOW, days=90)
    builder = PolicyBuilder().store(Store([signers[0].certificate])).time(NOW)
    builder.build_server_verifier(x509.DNSName("telemetry.example")).verify(leaf, [signers[1].certificate])
    with pytest.raises(VerificationError):
        builder.build_server_verifier(x509.DNSName("other.example")).verify(leaf, [signers[1].certificate])


def test_a_certificate_is_good_for_clocks_a_day_behind_and_never_outlives_its_issuer(authority: Authority) -> None:
    leaf = authority.issue_device("boiler-7", new_key().public_key(), now=NOW, days=90)
    assert leaf.not_valid_before_utc == NOW - timedelta(hours=24)
    assert leaf.not_valid_after_utc == NOW + timedelta(days=90)
    late = authority.issue_device("boiler-7", new_key().public_key(), now=NOW, days=20_000)
    assert late.not_valid_after_utc == NOW + timedelta(days=3653)


def test_serials_are_random_and_fit_the_ledger(authority: Authority) -> None:
    key = new_key().public_key()
    serials = {authority.issue_device("boiler-7", key, now=NOW, days=90).serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(0 < serial < 2**159 for serial in serials)


@pytest.mark.parametrize("instance", [0, 9, -1])
def test_there_are_eight_services(authority: Authority, instance: int) -> None:
    with pytest.raises(ValueError, match="1 to 8"):
        authority.issue_service(instance, new_key().public_key(), now=NOW, days=90)


def test_of_a_request_only_the_key_is_taken(authority: Authority) -> None:
    key = new_key()
    leaf = authority.issue_device("boiler-7", read_request(request(key, "wayside-server-1")), now=NOW, days=90)
    assert leaf.subject.rfc4514_string() == "CN=boiler-7"
    assert leaf.public_key() == key.public_key()
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_request_signed_by_another_key_is_refused() -> None:
    good = bytearray(request(new_key()))
    good[-3] ^= 1
    with pytest.raises(CertificateRequestError):
        read_request(bytes(good))


@pytest.mark.parametrize("bits", [1024, 2048])
def test_short_rsa_keys_are_refused(bits: int) -> None:
    key = rsa.generate_private_key(65537, bits)
    with pytest.raises(CertificateRequestError, match="3072"):
        read_request(request(key))


def test_rsa_keys_with_another_exponent_are_refused() -> None:
    key = rsa.generate_private_key(3, 3072)
    with pytest.raises(CertificateRequestError, match="65537"):
        read_request(request(key))


def test_the_key_is_looked_at_before_the_signature_that_it_makes_slow() -> None:
    forged = bytearray(request(rsa.generate_private_key(65537, 2048)))
    forged[-3] ^= 1
    with pytest.raises(CertificateRequestError, match="3072"):
        read_request(bytes(forged))


def test_rsa_3072_and_p384_are_taken() -> None:
    for key in (rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())):
        assert read_request(request(key)) == key.public_key()


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP224R1(), ec.SECP521R1()])
def test_other_curves_are_refused(curve: ec.EllipticCurve) -> None:
    with pytest.raises(CertificateRequestError, match="P-256"):
        read_request(request(ec.generate_private_key(curve)))


def test_pkcs7_carries_the_chain(authority: Authority, signers: tuple[Signer, Signer]) -> None:
    leaf = authority.issue_device("boiler-7", new_key().public_key(), now=NOW, days=90)
    assert set(pkcs7.load_der_pkcs7_certificates(authority.chain_pkcs7(leaf))) == {leaf, signers[1].certificate}
    both = {signer.certificate for signer in signers}
    assert set(pkcs7.load_der_pkcs7_certificates(authority.cacerts_pkcs7())) == both
