"""Enrolment: a token and a certificate request become a device with a certificate, and the certificate a newer one."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.errors import WaysideError
from wayside_server.identity.authority import PublicKey, read_request
from wayside_server.identity.issuing import (
    Enrolled,
    Issuer,
    IssueTransaction,
    KnownCertificate,
    NameHeldError,
    Origin,
    SharedKeyError,
    key_sha256,
)
from wayside_server.identity.names import make_device_name
from wayside_server.identity.tokens import StoredToken, TokenFault, TokenRefusedError, usable

OVERLAP = timedelta(days=14)
"""For so long a superseded certificate renews still, counted from its last renewal: an answer may be lost, and an
agent that cannot connect with the new one goes back. A copy that lay in a drawer renews nothing after that."""


class EnrolmentTransaction(IssueTransaction, Protocol):
    """With what a token is spent."""

    async def token(self, digest: bytes) -> StoredToken | None:
        """The token with this SHA-256; no other transaction gets it until this one has ended."""

    async def use_token(self, token_id: int, device_id: int, now: datetime) -> None:
        """One use more, for this device."""


class EnrolmentStore(Protocol):
    """Where tokens, devices and issued certificates are kept."""

    def enrolment(self) -> AbstractAsyncContextManager[EnrolmentTransaction]:
        """Begins a transaction; leaving the block commits it."""


class RevocationList(Protocol):
    """Which certificates count no more."""

    async def is_revoked(self, serial: int) -> bool:
        """Whether the certificate with this serial number was revoked."""


class CertificateRefusedError(WaysideError):
    """The certificate counts no more.

    Args:
        kind: as in `domain.refusals.MEANINGS`.
        known: the certificate; None when this server did not issue it.
    """

    def __init__(self, kind: str, known: KnownCertificate | None = None) -> None:
        self.kind = kind
        self.known = known
        super().__init__(FIXES[kind])


FIXES = {
    "certificate_unknown": "the certificate is of no device here; enrol the device with a new token",
    "certificate_revoked": "the certificate is not good any more; enrol the device with a new token",
    "certificate_replaced": "another board was enrolled under this name since; enrol this one with a new token",
    "certificate_superseded": "a newer certificate has taken the place of this one; use that, or a new token",
}


class Enrolments:
    """Takes tokens, and certificates in use, against new certificates.

    Args:
        issuer: who signs.
        store: where tokens, devices and certificates are kept.
        revocations: which certificates count no more.
        trail: the audit trail.
        now: the time, aware.
    """

    def __init__(
        self,
        issuer: Issuer,
        store: EnrolmentStore,
        revocations: RevocationList,
        trail: AuditTrail,
        now: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._store = store
        self._revocations = revocations
        self._trail = trail
        self._now = now

    async def enrol(self, digest: bytes, request: bytes, address: str | None) -> Enrolled:
        """Issues a certificate for a token; the token is used only if that succeeds.

        Args:
            digest: SHA-256 of the token's secret.
            request: PKCS#10 in DER; of it only the key is taken.
            address: from where.

        Raises:
            CertificateRequestError: the request is not taken; the token stays good.
            TokenRefusedError: the token is not good.
            TenantFullError: the tenant may have no more devices; the token stays good.
            TooManyCertificatesError: the device has had too many.
            StorageError: nothing happened.
        """
        key = read_request(request)
        now = self._now()
        async with self._store.enrolment() as transaction:
            token = usable(await transaction.token(digest), now)
            await self._refuse_known(transaction, key, token)
            device = await _device_for(transaction, token)
            enrolled = await self._issuer.issue(transaction, device, key, Origin.TOKEN, now, token)
            await transaction.use_token(token.token_id, device[0], now)
            await self._trail.record(_issued(f"token:{token.token_id}", enrolled, token.tenant_id, address))
        return enrolled

    async def reenrol(self, serial: int, request: bytes, address: str | None) -> Enrolled:
        """Issues a certificate to the device that has the one with this serial number; both are good in the overlap.

        Args:
            serial: of the certificate on the connection, which TLS has verified.
            request: PKCS#10 in DER, with the same key or a new one.
            address: from where.

        Raises:
            CertificateRequestError: the request is not taken.
            CertificateRefusedError: the certificate counts no more.
            TooManyCertificatesError: the device has had too many.
            StorageError: nothing happened.
        """
        key = read_request(request)
        now = self._now()
        async with self._store.enrolment() as transaction:
            known = await self.in_force(transaction, serial, now)
            device = known.device_id, known.device
            enrolled = await self._issuer.issue(transaction, device, key, Origin.REENROLMENT, now)
            await transaction.still_renews(serial, now)
            await self._trail.record(_issued(f"device:{known.device}", enrolled, known.tenant_id, address))
        return enrolled

    async def in_force(self, transaction: IssueTransaction, serial: int, now: datetime) -> KnownCertificate:
        """The certificate with this serial number, if it counts.

        Raises:
            CertificateRefusedError: it does not.
        """
        known = await transaction.by_serial(serial)
        if known is None:
            raise CertificateRefusedError("certificate_unknown")
        if known.replaced:
            raise CertificateRefusedError("certificate_replaced", known)
        if await self._revocations.is_revoked(serial):
            raise CertificateRefusedError("certificate_revoked", known)
        if known.superseded_at is not None and known.superseded_at + OVERLAP <= now:
            raise CertificateRefusedError("certificate_superseded", known)
        return known

    async def _refuse_known(self, transaction: IssueTransaction, key: PublicKey, token: StoredToken) -> None:
        """Before a name is made up: the key of a device gets no second one."""
        known = await transaction.by_key(key_sha256(key))
        if any(one.device != token.device_name for one in known):
            raise SharedKeyError


async def _device_for(transaction: IssueTransaction, token: StoredToken) -> tuple[int, str]:
    if token.device_name is not None:
        try:
            number = await transaction.join_device(
                token.device_name, token.tenant_id, token.group_id, replace=token.replaces
            )
        except NameHeldError as error:
            fault = TokenFault.DEVICE_REVOKED if error.revoked else TokenFault.HELD
            raise TokenRefusedError(fault, token) from None
        if number is None:
            raise TokenRefusedError(TokenFault.NAME, token)
        return number, token.device_name
    if token.name_prefix is None:
        return await fresh_device(transaction, token.tenant_id, token.group_id)
    count = token.uses + 1
    while True:
        name = f"{token.name_prefix}{count}"
        made = await transaction.new_device(name, token.tenant_id, token.group_id)
        if made is not None:
            return made, name
        count = await transaction.last_number(token.name_prefix) + 1


async def fresh_device(transaction: IssueTransaction, tenant_id: int, group_id: int | None) -> tuple[int, str]:
    """Number and made-up name of a new device."""
    while True:
        name = make_device_name()
        made = await transaction.new_device(name, tenant_id, group_id)
        if made is not None:
            return made, name


def _issued(actor: str, enrolled: Enrolled, tenant_id: int, address: str | None) -> Act:
    subject = f"device:{enrolled.device}"
    return Act(actor, "certificate.issue", subject, tenant_id, address, detail=enrolled.told())
