"""Certificate revocation lists: what brokers read to know which certificates are good no longer (RFC 5280, section 5).

Every issuing CA in force signs a list of its own, for a broker that checks lists refuses each certificate whose issuer
has none. Each of them holds every revoked serial number: the numbers are random, so those of another issuer do no harm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import BACKDATING, Signer


class Reason(Enum):
    """Why a certificate is revoked; those of RFC 5280, section 5.3.1, that a device can have."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    CESSATION = "cessation-of-operation"
    SUPERSEDED = "superseded"
    """Another board has the name now."""
    HOLD = "hold"
    """For the time being: the only reason that can be taken back."""


_FLAGS: Mapping[Reason, x509.ReasonFlags] = MappingProxyType(
    {
        Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
        Reason.CESSATION: x509.ReasonFlags.cessation_of_operation,
        Reason.SUPERSEDED: x509.ReasonFlags.superseded,
        Reason.HOLD: x509.ReasonFlags.certificate_hold,
    }
)
"""A list names no reason where none is specified (section 5.3.1)."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revoked certificate, as a list names it.

    Args:
        serial: its serial number.
        revoked_at: since when, UTC.
        reason: why.
    """

    serial: int
    revoked_at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Lists:
    """What the lists of one file say.

    Args:
        number: their number, the lowest if they differ.
        signed_at: when the oldest was signed, UTC.
        next_update: from when on the first of them refuses everybody, UTC.
        issuers: key identifiers of the CAs that signed them.
        revoked: what they name, by serial number.
    """

    number: int
    signed_at: datetime
    next_update: datetime
    issuers: frozenset[bytes]
    revoked: Mapping[int, Revoked]

    def life_left(self, now: datetime) -> float:
        """How much of their life is left, from 1 down; 0 or less when they have ended."""
        return (self.next_update - now) / (self.next_update - self.signed_at)


def sign_lists(
    signers: Sequence[Signer], revoked: Sequence[Revoked], number: int, now: datetime, life: timedelta
) -> bytes:
    """One list for each of `signers`, as PEM, good from now on for `life`.

    Args:
        signers: the issuing CAs in force.
        revoked: what is revoked.
        number: higher than that of every list before.
        now: the time, aware.
        life: when it is over, brokers refuse everybody.
    """
    entries = [_entry(one) for one in revoked]
    return b"".join(_sign(signer, entries, number, now, now + life) for signer in signers)


def read_lists(pem: bytes, source: str) -> Lists:
    """The lists in `pem`.

    Raises:
        ConfigError: it holds none, or something else; `source` says where it stands.
    """
    end = b"-----END X509 CRL-----"
    try:
        lists = [x509.load_pem_x509_crl(part + end) for part in pem.split(end)[:-1]]
        parts = [_read(one) for one in lists]
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ConfigError(f"{source} holds no revocation list; remove it, wayside-server makes another") from error
    if not parts:
        raise ConfigError(f"{source} holds no revocation list; remove it, wayside-server makes another")
    return Lists(
        number=min(part.number for part in parts),
        signed_at=min(part.signed_at for part in parts),
        next_update=min(part.next_update for part in parts),
        issuers=frozenset().union(*(part.issuers for part in parts)),
        revoked={serial: one for part in parts for serial, one in part.revoked.items()},
    )


def key_identifier(certificate: x509.Certificate) -> bytes:
    """By which certificates and lists name the key of the CA `certificate` that signed them."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


def issuer_of(certificate: x509.Certificate) -> bytes | None:
    """Key identifier of the CA that signed `certificate`, as it says itself."""
    return certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier


def _sign(
    signer: Signer, entries: Sequence[x509.RevokedCertificate], number: int, now: datetime, end: datetime
) -> bytes:
    # A broker whose clock is behind must not take the list for one of the future: it would refuse everybody.
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=list(entries))
        .issuer_name(signer.certificate.subject)
        .last_update(now - BACKDATING)
        .next_update(end)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
    )
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _entry(one: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.revoked_at)
    flag = _FLAGS.get(one.reason)
    if flag is not None:
        builder = builder.add_extension(x509.CRLReason(flag), critical=False)
    return builder.build()


def _read(found: x509.CertificateRevocationList) -> Lists:
    issuer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if issuer is None or found.next_update_utc is None:
        raise ValueError("a list of another authority")
    return Lists(
        number=found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
        signed_at=found.last_update_utc + BACKDATING,
        next_update=found.next_update_utc,
        issuers=frozenset([issuer]),
        revoked={one.serial_number: _revoked(one) for one in found},
    )


def _revoked(one: x509.RevokedCertificate) -> Revoked:
    reasons = {flag: reason for reason, flag in _FLAGS.items()}
    reason = Reason.UNSPECIFIED
    for extension in one.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = reasons.get(extension.value.reason, Reason.UNSPECIFIED)
    return Revoked(one.serial_number, one.revocation_date_utc, reason)
