"""How a certificate comes to be, whichever way the device asks for it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from wayside_server.errors import ConfigError, WaysideError
from wayside_server.identity.authority import Authority, CertificateRequestError, PublicKey
from wayside_server.identity.tokens import StoredToken

MOST_A_DAY = 100
"""Certificates of one device in 24 hours. An agent that starts over and over asks each time; each is a row for good."""


class Origin(Enum):
    """By what a certificate was earned."""

    TOKEN = "token"  # noqa: S105 - a word, not a secret
    CLAIM = "claim"
    REENROLMENT = "reenrolment"
    RENEWAL = "renewal"

    @property
    def replaces(self) -> bool:
        """Whether somebody has consented to this key having the name, instead of any other."""
        return self in (Origin.TOKEN, Origin.CLAIM)


class SharedKeyError(CertificateRequestError):
    """The key is that of another device."""

    def __init__(self) -> None:
        super().__init__("the key belongs to another device; make a new one on this device")


class NameHeldError(WaysideError):
    """A device of the tenant has the name.

    Args:
        revoked: it was revoked, so that a certificate would let no board in.
    """

    def __init__(self, *, revoked: bool) -> None:
        self.revoked = revoked
        super().__init__("the name is a device's")


class TenantFullError(ConfigError):
    """The tenant may have no more devices."""

    def __init__(self) -> None:
        super().__init__(
            "the tenant may have no more devices; revoke those that are gone, or let the administrator raise its quota"
        )


class TooManyCertificatesError(WaysideError):
    """The device has had too many certificates lately."""

    def __init__(self) -> None:
        super().__init__(f"a device gets at most {MOST_A_DAY} certificates a day; wait, and see why it asks so often")


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A certificate that was issued, as the store has it; times are UTC.

    Args:
        serial: its serial number.
        device_id: the store's own number for the device.
        device: the device's name.
        tenant_id: whose device it is.
        created_at: when it was issued.
        superseded_at: since when there is a newer one, or when it last renewed after that; None while there is none.
        replaced: whether the device's name was given to another key since, by a token or a claim.
        der: the whole; None when it was issued before it was kept.
    """

    serial: int
    device_id: int
    device: str
    tenant_id: int
    created_at: datetime
    superseded_at: datetime | None
    replaced: bool
    der: bytes | None


@dataclass(frozen=True, slots=True)
class Issue:
    """A certificate to be recorded.

    Args:
        certificate: it.
        device_id: whose.
        key_sha256: of its SubjectPublicKeyInfo.
        origin: by what it was earned.
        token_id: by which token; None for none.
        at: when, UTC.
    """

    certificate: x509.Certificate
    device_id: int
    key_sha256: bytes
    origin: Origin
    token_id: int | None
    at: datetime


class IssueTransaction(Protocol):
    """What happens within it happens as a whole, or not at all when its block raises."""

    async def join_device(self, name: str, tenant_id: int, group_id: int | None, *, replace: bool) -> int | None:
        """The number of the tenant's device `name`, made when missing; None when the name is not to be had.

        A group is set, none is left as it was.

        Raises:
            NameHeldError: it is there, and was revoked or is not to be replaced.
            TenantFullError: it would have to be made, and may not.
        """

    async def new_device(self, name: str, tenant_id: int, group_id: int | None) -> int | None:
        """The number of a new device; None when the name is in use.

        Raises:
            TenantFullError: it may not be made.
        """

    async def last_number(self, prefix: str) -> int:
        """The highest number that follows `prefix` in a device's name; 0 when there is none."""

    async def by_key(self, key_sha256: bytes) -> list[KnownCertificate]:
        """The certificates of one key, the latest first."""

    async def by_serial(self, serial: int) -> KnownCertificate | None:
        """The certificate with this serial number; nobody else gets its device's name until the transaction ends."""

    async def issued_since(self, device_id: int, since: datetime) -> int:
        """How many certificates the device has had since."""

    async def issued(self, issue: Issue) -> int:
        """Records the certificate; the device's others are superseded from now on.

        By a token or a claim the name goes to this key alone: certificates of others are revoked, and the session that
        one of them may have is to be ended. Returns how many were revoked.
        """

    async def still_renews(self, serial: int, now: datetime) -> None:
        """Notes that the certificate, superseded or not, has renewed: it is superseded from now on."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device gets.

    Args:
        device: its name.
        certificate: its certificate, to be sent with the intermediate.
        replaced: certificates of other keys that were revoked because the name is this key's now.
    """

    device: str
    certificate: x509.Certificate
    replaced: int = 0

    def told(self) -> dict[str, str | int]:
        """What the audit log keeps of it."""
        serial = f"{self.certificate.serial_number:x}"
        return {"serial": serial, "replaced": self.replaced} if self.replaced else {"serial": serial}


class Issuer:
    """Signs for devices, and records it.

    Args:
        authority: who signs.
        days: life of a device's certificate.
    """

    def __init__(self, authority: Authority, days: int) -> None:
        self._authority = authority
        self._days = days

    @property
    def fingerprints(self) -> list[bytes]:
        """SHA-256 of each root certificate that a device may trust."""
        return self._authority.fingerprints

    async def issue(
        self,
        within: IssueTransaction,
        device: tuple[int, str],
        key: PublicKey,
        origin: Origin,
        now: datetime,
        token: StoredToken | None = None,
    ) -> Enrolled:
        """A certificate for `device` (number and name) and its `key`, recorded within the transaction.

        Raises:
            SharedKeyError: the key is that of another device.
            TooManyCertificatesError: the device has had MOST_A_DAY.
        """
        device_id, name = device
        digest = key_sha256(key)
        if any(known.device_id != device_id for known in await within.by_key(digest)):
            raise SharedKeyError
        if await within.issued_since(device_id, now - timedelta(days=1)) >= MOST_A_DAY:
            raise TooManyCertificatesError
        certificate = self._authority.issue_device(name, key, now=now, days=self._days)
        token_id = None if token is None else token.token_id
        replaced = await within.issued(Issue(certificate, device_id, digest, origin, token_id, now))
        return Enrolled(name, certificate, replaced)


def key_der(key: PublicKey) -> bytes:
    """`key` as DER of SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_sha256(key: PublicKey) -> bytes:
    """SHA-256 of `key_der`: by it a key is known."""
    return hashlib.sha256(key_der(key)).digest()
