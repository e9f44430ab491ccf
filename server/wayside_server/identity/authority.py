"""The certificate authority of an installation: a root that signs one intermediate, which signs everything else.

The intermediate alone is needed to run, so the root's key may be moved off the machine after `wayside-server init`.
Names, uses and lifetimes come from here; of a certificate request only the public key is taken.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from wayside_server.errors import WaysideError
from wayside_shared.identifiers import DEVICE_ID_RULE, is_device_id

AUTHORITY_LIFE = timedelta(days=3653)
"""Ten years. The intermediate lives as long as the root: renewing it alone would need every device to fetch it."""
BACKDATING = timedelta(hours=24)
"""A board whose clock is up to a day behind (no RTC, time zone set as UTC) must still accept what it is given."""
SERVER_DAYS = 397
"""Browsers refuse server certificates that live longer than 398 days (CA/Browser Forum BR 6.3.2)."""
MIN_RSA_BITS = 3072
"""128-bit strength, as P-256 has (NIST SP 800-57 part 1 rev. 5, table 2)."""
MAX_RSA_BITS = 8192
"""Bounds the time that checking a stranger's request takes."""
RSA_EXPONENT = 65537
"""The only public exponent that is taken: a large one makes each check slow, 3 has broken too many implementations."""

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey

_MARK_DIGITS = 8
_REQUEST_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class CertificateRequestError(WaysideError):
    """A certificate request that is refused: malformed, unsigned, or with a weak key. Says which, in one line."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A CA certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey


def new_key() -> PrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def create_authority(now: datetime) -> tuple[Signer, Signer]:
    """A new root (path length 1) and its intermediate (path length 0), for ten years from `now` (aware)."""
    root_key, key = new_key(), new_key()
    # Two authorities of one installation must be told apart by name: OpenSSL looks for issuers by it, and for lists.
    mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:_MARK_DIGITS]
    root_name = _name(f"Wayside root CA {mark}")
    parent = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    root = _ca(root_name, root_name, root_key.public_key(), now, path_length=1)
    intermediate = _ca(_name(f"Wayside issuing CA {mark}"), root_name, key.public_key(), now, path_length=0)
    return (
        Signer(root.add_extension(parent, critical=False).sign(root_key, hashes.SHA256()), root_key),
        Signer(intermediate.add_extension(parent, critical=False).sign(root_key, hashes.SHA256()), key),
    )


def read_request(data: bytes) -> PublicKey:
    """The public key in a PKCS#10 request (DER) whose signature proves that the sender has the private key.

    Subject and extensions are ignored on purpose: the server chooses them.

    Raises:
        CertificateRequestError: it is malformed, its signature is wrong, or the key is of a kind or size not taken.
    """
    try:
        request = x509.load_der_x509_csr(data)
        # First of all, for the key says how long it takes to check the signature.
        key = _strong(request.public_key())
        valid = request.is_signature_valid
        digest = request.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise CertificateRequestError("the certificate request is malformed, or its algorithm is unknown") from error
    if not valid:
        raise CertificateRequestError("the certificate request is not signed by the key it names")
    if digest is not None and not isinstance(digest, _REQUEST_HASHES):
        raise CertificateRequestError(f"the certificate request is signed with {digest.name}; use SHA-256")
    return key


class Authority:
    """Issues certificates in the name of one installation.

    Args:
        root: certificate that devices and server trust.
        intermediate: the CA that signs, with its key.
        more_roots: what is to be trusted beside `root` while one root takes the place of another.
    """

    def __init__(
        self, root: x509.Certificate, intermediate: Signer, more_roots: Sequence[x509.Certificate] = ()
    ) -> None:
        self._root = root
        self._intermediate = intermediate
        self._roots = [root, *(other for other in more_roots if other != root)]

    @property
    def root_pem(self) -> bytes:
        """The root certificates: what everyone trusts."""
        return b"".join(root.public_bytes(serialization.Encoding.PEM) for root in self._roots)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER of the root under the server's own certificates, as enrolment tokens carry it."""
        return self._root.fingerprint(hashes.SHA256())

    @property
    def fingerprints(self) -> list[bytes]:
        """SHA-256 of the DER of each root that is to be trusted; the first is `fingerprint`."""
        return [root.fingerprint(hashes.SHA256()) for root in self._roots]

    def issue_device(self, name: str, key: PublicKey, *, now: datetime, days: int) -> x509.Certificate:
        """A client certificate for the device `name`.

        Raises:
            ValueError: `name` is not a device id, or is one of the server's own.
        """
        if name.startswith(RESERVED_PREFIX):
            raise ValueError(f"names that start with {RESERVED_PREFIX!r} are the server's own: {name!r}")
        return self._issue_client(name, key, now=now, days=days)

    def issue_service(self, instance: int, key: PublicKey, *, now: datetime, days: int) -> x509.Certificate:
        """A client certificate for the ingest session `instance` (1 to SERVICE_INSTANCES)."""
        return self._issue_client(service_name(instance), key, now=now, days=days)

    def issue_server(self, hosts: Sequence[str], key: PublicKey, *, now: datetime, days: int) -> x509.Certificate:
        """A server certificate for `hosts`: DNS names and IP addresses, the first one also as its common name."""
        alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = self._leaf(hosts[0][:64], key, now=now, days=days, use=ExtendedKeyUsageOID.SERVER_AUTH)
        return self._sign(builder.add_extension(alternatives, critical=False))

    def chain_pem(self, leaf: x509.Certificate) -> bytes:
        """`leaf` and the intermediate, in the order TLS sends them."""
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (leaf, self._intermediate.certificate))

    def cacerts_pkcs7(self) -> bytes:
        """Every root and the intermediate as a certs-only PKCS#7 in DER (RFC 7030 section 4.1.3)."""
        every = [*self._roots, self._intermediate.certificate]
        return pkcs7.serialize_certificates(every, serialization.Encoding.DER)

    def chain_pkcs7(self, leaf: x509.Certificate) -> bytes:
        """`leaf` and the intermediate as a certs-only PKCS#7 in DER (RFC 7030 section 4.2.3)."""
        return pkcs7.serialize_certificates([leaf, self._intermediate.certificate], serialization.Encoding.DER)

    def _issue_client(self, name: str, key: PublicKey, *, now: datetime, days: int) -> x509.Certificate:
        if not is_device_id(name):
            raise ValueError(f"device name {name!r}: {DEVICE_ID_RULE}")
        return self._sign(self._leaf(name, key, now=now, days=days, use=ExtendedKeyUsageOID.CLIENT_AUTH))

    def _leaf(
        self, name: str, key: PublicKey, *, now: datetime, days: int, use: ObjectIdentifier
    ) -> x509.CertificateBuilder:
        issuer = self._intermediate.certificate
        end = min(now + timedelta(days=days), issuer.not_valid_after_utc)
        return (
            _builder(_name(name), issuer.subject, key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._intermediate.key.public_key()), critical=False
            )
        )

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._intermediate.key, hashes.SHA256())


RESERVED_PREFIX = "wayside-"
SERVICE_INSTANCES = 8
"""Ingest sessions that can run at once; each has its own name, so none takes over another's client id."""


def service_name(instance: int) -> str:
    """The broker user of ingest session `instance`, counted from 1.

    Raises:
        ValueError: there is no such instance.
    """
    if not 1 <= instance <= SERVICE_INSTANCES:
        raise ValueError(f"ingest instance {instance}: must be 1 to {SERVICE_INSTANCES}")
    return f"{RESERVED_PREFIX}server-{instance}"


def _strong(key: object) -> PublicKey:
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1() | ec.SECP384R1()):
            return key
        case ed25519.Ed25519PublicKey():
            return key
        case rsa.RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and _exponent(key) == RSA_EXPONENT:
            return key
    raise CertificateRequestError(
        f"the key is not taken: use EC P-256 or P-384, Ed25519, or RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits "
        f"with the public exponent {RSA_EXPONENT}"
    )


def _exponent(key: rsa.RSAPublicKey) -> int:
    return key.public_numbers().e


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signature: bool = False, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATING)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _ca(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, *, path_length: int
) -> x509.CertificateBuilder:
    return (
        _builder(subject, issuer, key, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
