"""Enrolment: a one-time token and a certificate request become a device with a certificate."""

import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from cryptography import x509

from wayside_server.errors import ConfigError, WaysideError
from wayside_server.identity.authority import RESERVED_PREFIX, Authority, read_request
from wayside_shared.enrolment import EnrolmentToken, new_token
from wayside_shared.identifiers import DEVICE_ID_PATTERN, is_device_id

_NAME_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_NAME_LETTERS = 10
"""32^10 names: with 100,000 devices the chance that the next one collides is 1 in 10^10, and then it is refused."""


class TokenFault(Enum):
    """Why a token was not taken. Whoever asks holds a secret of 256 bits, so telling gives nothing away."""

    UNKNOWN = "the enrolment token is not known to this server; make one with wayside-server token create"
    USED = "the enrolment token was used before; make a new one with wayside-server token create"
    EXPIRED = "the enrolment token has expired; make a new one with wayside-server token create"


class TokenRefusedError(WaysideError):
    """The enrolment token is not good; `fault` says why."""

    def __init__(self, fault: TokenFault) -> None:
        self.fault = fault
        super().__init__(fault.value)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as the store has it.

    Args:
        token_id: the store's own number for it.
        device_name: the name it gives; None lets the server make one.
        expires_at: UTC.
        used: whether a certificate was issued for it.
    """

    token_id: int
    device_name: str | None
    expires_at: datetime
    used: bool


class EnrolmentTransaction(Protocol):
    """What happens within it happens as a whole, or not at all when its block raises."""

    async def token(self, digest: bytes) -> StoredToken | None:
        """The token with this SHA-256; no other transaction gets it until this one has ended."""

    async def device(self, name: str) -> int:
        """The number of the device `name`, which is made when missing."""

    async def issued(self, token_id: int, device_id: int, certificate: x509.Certificate, now: datetime) -> None:
        """Burns the token and records the certificate."""


class EnrolmentStore(Protocol):
    """Where tokens, devices and issued certificates are kept."""

    async def add_token(self, digest: bytes, device_name: str | None, expires_at: datetime) -> None:
        """Keeps a new token by its SHA-256."""

    def enrolment(self) -> AbstractAsyncContextManager[EnrolmentTransaction]:
        """Begins a transaction; leaving the block commits it."""


class Refusals(Protocol):
    """Counts what was refused, for operators."""

    async def count_refusal(self, kind: str, detail: str, now: datetime, tenant_id: int | None = None) -> None:
        """One more refusal of `kind` on this day; `detail` is one line without secrets, the latest is kept.

        Without a tenant it is the installation's, and no tenant sees it.
        """


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device gets.

    Args:
        device: its name.
        certificate: its certificate, to be sent with the intermediate.
    """

    device: str
    certificate: x509.Certificate


class Enrolments:
    """Hands out tokens and takes them back against certificates.

    Args:
        authority: who signs.
        store: where tokens are kept.
        certificate_days: life of a device's certificate.
        now: the time, aware.
    """

    def __init__(
        self, authority: Authority, store: EnrolmentStore, certificate_days: int, now: Callable[[], datetime]
    ) -> None:
        self._authority = authority
        self._store = store
        self._days = certificate_days
        self._now = now

    async def create_token(self, device_name: str | None, life: timedelta) -> EnrolmentToken:
        """A new token; its text is shown once and cannot be had again.

        Args:
            device_name: the device's name; None lets the server make one.
            life: how long it can be used.

        Raises:
            ConfigError: the name breaks the rules or is reserved.
        """
        if device_name is not None:
            check_device_name(device_name)
        token = new_token(self._authority.fingerprint)
        await self._store.add_token(token.digest, device_name, self._now() + life)
        return token

    async def enrol(self, digest: bytes, request: bytes) -> Enrolled:
        """Issues the certificate; the token is burned only if that succeeds.

        Args:
            digest: SHA-256 of the token's secret.
            request: PKCS#10 in DER.

        Raises:
            CertificateRequestError: the request is not taken; the token stays good.
            TokenRefusedError: the token is not good.
            StorageError: nothing happened.
        """
        key = read_request(request)
        now = self._now()
        async with self._store.enrolment() as transaction:
            token = _usable(await transaction.token(digest), now)
            name = token.device_name or make_device_name()
            device_id = await transaction.device(name)
            certificate = self._authority.issue_device(name, key, now=now, days=self._days)
            await transaction.issued(token.token_id, device_id, certificate, now)
        return Enrolled(name, certificate)


def check_device_name(name: str) -> str:
    """`name` itself.

    Raises:
        ConfigError: it breaks the rules for device names, or is one of the server's own.
    """
    if not is_device_id(name):
        raise ConfigError(f"device name {name[:80]!r} does not match {DEVICE_ID_PATTERN}")
    if name.startswith(RESERVED_PREFIX):
        raise ConfigError(f"device name {name!r}: names that start with {RESERVED_PREFIX!r} are the server's own")
    return name


def make_device_name() -> str:
    """A fresh name such as `device-k3v9x2m4qa`, without letters that are easily misread."""
    return "device-" + "".join(secrets.choice(_NAME_ALPHABET) for _ in range(_NAME_LETTERS))


def _usable(token: StoredToken | None, now: datetime) -> StoredToken:
    if token is None:
        raise TokenRefusedError(TokenFault.UNKNOWN)
    if token.used:
        raise TokenRefusedError(TokenFault.USED)
    if token.expires_at <= now:
        raise TokenRefusedError(TokenFault.EXPIRED)
    return token
