"""API keys, console sessions and one-time sign-in links. Of every secret only its SHA-256 is kept.

The secrets are 256 random bits, so a slow password hash would add cost and no strength.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from wayside_server.domain.access import Permission, Principal, Role, Session, permissions_of
from wayside_server.errors import NotFoundError, UnauthorizedError
from wayside_server.identity.refusing import Refusals

KEY_KIND = "wsk"
SECRET_BYTES = 32
SESSION_LIFE = timedelta(hours=12)
"""A working day; an operator signs in each morning."""
LINK_LIFE = timedelta(minutes=10)
"""Long enough to carry a link from the terminal to the browser."""
TOUCH_EVERY = timedelta(minutes=1)
"""`last_used` is exact to this, so that reading costs no write for each request."""

_PREFIX_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_PREFIX_LETTERS = 8


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is kept; times are UTC.

    Args:
        key_id: the store's own number for it.
        prefix: the public part, by which people name it.
        digest: SHA-256 of the whole key.
        label: what its maker called it.
        created_at: when it was made.
        expires_at: when it ends; None never.
        revoked_at: when it was revoked.
        last_used: exact to TOUCH_EVERY.
        tenant_id: within which tenant it opens anything.
    """

    key_id: int
    prefix: str
    digest: bytes
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used: datetime | None
    tenant_id: int

    def valid_at(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyStore(Refusals, Protocol):
    """Where keys, sessions and links are kept."""

    async def add_key(
        self, prefix: str, digest: bytes, label: str, now: datetime, expires_at: datetime | None
    ) -> KeyRecord:
        """Keeps a new key."""

    async def find_key(self, prefix: str) -> KeyRecord | None:
        """The key with this prefix, good or not."""

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""

    async def revoke_key(self, prefix: str, now: datetime) -> bool:
        """Ends the key and its sessions for good; False when there is none. Revoking twice keeps the first time."""

    async def touch_key(self, key_id: int, now: datetime) -> None:
        """Notes that it was used."""

    async def add_session(self, digest: bytes, key_id: int, now: datetime, expires_at: datetime) -> None:
        """Keeps a new session by the SHA-256 of its token; sessions that have ended are forgotten."""

    async def session_key(self, digest: bytes, now: datetime) -> KeyRecord | None:
        """The key behind the session with this SHA-256, unless the session has ended."""

    async def end_session(self, digest: bytes) -> None:
        """Forgets the session; one that is not known is no error."""

    async def add_link(self, digest: bytes, key_id: int, expires_at: datetime) -> None:
        """Keeps a sign-in link by the SHA-256 of its token."""

    async def spend_link(self, digest: bytes, now: datetime) -> KeyRecord | None:
        """Spends the link and gives the key behind it; None when it is spent, expired or unknown."""


class Keys:
    """Makes keys and links, and is the installation's `domain.access.Access`.

    Args:
        store: where they are kept.
        now: the time, aware.
    """

    def __init__(self, store: KeyStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def create(self, label: str, life: timedelta | None = None) -> str:
        """A new key `wsk_<prefix>_<secret>`; it is shown once and cannot be had again.

        Args:
            label: what it is for.
            life: how long it is good; None until it is revoked.
        """
        text, _ = await self._create(label, life)
        return text

    async def list(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        return await self._store.list_keys()

    async def revoke(self, prefix: str) -> None:
        """Ends a key and its sessions for good.

        Args:
            prefix: the key's public part; the whole key is taken too.

        Raises:
            NotFoundError: there is no such key.
        """
        parts = prefix.split("_", 2)
        name = parts[1] if len(parts) > 1 and parts[0] == KEY_KIND else prefix
        if not _is_prefix(name) or not await self._store.revoke_key(name, self._now()):
            raise NotFoundError(f"no API key has the prefix {name[:20]!r}; see wayside-server api-key list")

    async def create_link(self) -> str:
        """The token of a new sign-in link, good once within LINK_LIFE.

        The key behind its session is made for it, shown to nobody, and ends with the session.
        """
        _, record = await self._create("sign-in link", LINK_LIFE + SESSION_LIFE)
        token = secrets.token_urlsafe(SECRET_BYTES)
        await self._store.add_link(_digest(token), record.key_id, self._now() + LINK_LIFE)
        return token

    async def authenticate(self, bearer: str) -> Principal:
        """The owner of the API key `bearer`.

        Raises:
            UnauthorizedError: it is no good.
        """
        return _principal(await self._known(bearer))

    async def _known(self, bearer: str) -> KeyRecord:
        now = self._now()
        parts = bearer.split("_", 2)
        prefix = parts[1] if len(parts) == 3 and parts[0] == KEY_KIND and _is_prefix(parts[1]) else None
        record = None if prefix is None else await self._store.find_key(prefix)
        # The comparison runs for unknown prefixes too, so that its time tells nothing.
        same = hmac.compare_digest(_digest(bearer), bytes(32) if record is None else record.digest)
        if record is None or not same or not record.valid_at(now):
            tenant_id = None if record is None else record.tenant_id
            raise await self._refused("api_key", "API key is not valid", prefix, tenant_id)
        await self._touch(record, now)
        return record

    async def resume(self, session: str) -> Principal:
        """The owner of the console session whose token is `session`.

        Raises:
            UnauthorizedError: it has ended, or its key has.
        """
        now = self._now()
        record = await self._store.session_key(_digest(session), now)
        if record is None or not record.valid_at(now):
            raise UnauthorizedError("the session has ended; sign in again")
        await self._touch(record, now)
        return _principal(record)

    async def sign_in(self, bearer: str) -> Session:
        """A new session for the owner of the API key `bearer`.

        Raises:
            UnauthorizedError: as `authenticate`.
        """
        return await self._begin((await self._known(bearer)).key_id)

    async def redeem(self, link: str) -> Session:
        """A new session for the sign-in link whose token is `link`, which is spent.

        Raises:
            UnauthorizedError: it was spent, has expired, or never was.
        """
        now = self._now()
        record = await self._store.spend_link(_digest(link), now)
        if record is None or not record.valid_at(now):
            raise await self._refused(
                "sign_in_link",
                "sign-in link is used, expired or unknown; on the server type wayside-server login-link",
                None,
            )
        await self._touch(record, now)
        return await self._begin(record.key_id)

    async def sign_out(self, session: str) -> None:
        """Ends the session; one that is not known is no error."""
        await self._store.end_session(_digest(session))

    async def _create(self, label: str, life: timedelta | None) -> tuple[str, KeyRecord]:
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LETTERS))
        text = f"{KEY_KIND}_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
        now = self._now()
        expires_at = None if life is None else now + life
        return text, await self._store.add_key(prefix, _digest(text), label, now, expires_at)

    async def _begin(self, key_id: int) -> Session:
        token = secrets.token_urlsafe(SECRET_BYTES)
        now = self._now()
        await self._store.add_session(_digest(token), key_id, now, now + SESSION_LIFE)
        return Session(token, now + SESSION_LIFE)

    async def _touch(self, record: KeyRecord, now: datetime) -> None:
        if record.last_used is None or now - record.last_used >= TOUCH_EVERY:
            await self._store.touch_key(record.key_id, now)

    async def _refused(
        self, kind: str, message: str, prefix: str | None, tenant_id: int | None = None
    ) -> UnauthorizedError:
        known = "" if prefix is None else f" (prefix {prefix!r})"
        await self._store.count_refusal(kind, message + known, self._now(), tenant_id)
        return UnauthorizedError(f"the {message}")


def _principal(record: KeyRecord) -> Principal:
    may = permissions_of(Role.VIEWER) | {Permission.METRICS, Permission.SELF}
    return Principal(f"key:{record.prefix}", record.label, record.tenant_id, may)


def _is_prefix(text: str) -> bool:
    return len(text) == _PREFIX_LETTERS and set(text) <= set(_PREFIX_ALPHABET)


def _digest(text: str) -> bytes:
    # Text from a header may hold lone surrogates; they must not raise.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
