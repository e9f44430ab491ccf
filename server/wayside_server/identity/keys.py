"""API keys, for programs. Of every key only its SHA-256 is kept.

The secrets are 256 random bits, so a slow password hash would add cost and no strength.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from wayside_server.domain.access import DEFAULT_SCOPES, SCOPES, Permission, Principal, Role, permissions_of
from wayside_server.domain.audit import Act, AuditTrail, Enter, Outcome
from wayside_server.errors import ConfigError, NotFoundError, UnauthorizedError
from wayside_server.identity.refusing import RefusalNotes, Refusals

KEY_KIND = "wsk"
SECRET_BYTES = 32
KEY_LIFE = timedelta(days=365)
"""Once a year somebody should look whether a key is still needed."""
MAX_KEY_LIFE = timedelta(days=3650)
TOUCH_EVERY = timedelta(minutes=1)
"""`last_used` is exact to this, so that reading costs no write for each request."""
FIRST_TENANT = 1
"""The one that is there from the beginning."""
OF_THE_INSTALLATION = 5
"""The ceiling of keys that an administrator of the installation made; a Role is that of anybody else's."""

HELD = "this tenant wants a second factor of its admins, and who made this key has none; they set one up first"
"""A key is held as its maker is."""

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
        scopes: what it was given, as values of Permission.
        made_by: who made it, as the audit log names them.
        person_id: whose it is; None for the installation's own.
        ceiling: what its person may at this moment: a Role, OF_THE_INSTALLATION, 0 for nothing; None without person.
        lacks_factor: whether its person must set up a second factor before they may anything in the tenant.
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
    scopes: Collection[str]
    made_by: str
    person_id: int | None
    ceiling: int | None
    lacks_factor: bool

    def valid_at(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        alive = self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
        return alive and self.ceiling != 0

    def permissions(self) -> frozenset[Permission]:
        """What it may: what it was given, and no more than its person may at this moment."""
        if self.lacks_factor:
            return frozenset({Permission.SELF})
        given = {scope for scope in SCOPES if scope.value in self.scopes}
        if self.ceiling is not None:
            given &= _below(self.ceiling)
        return frozenset(given | {Permission.SELF})


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key begins with.

    Args:
        prefix: the public part.
        digest: SHA-256 of the whole key.
        label: what it is for.
        now: when it is made.
        expires_at: when it ends.
        tenant_id: within which tenant it opens anything.
        scopes: what it is given.
        made_by: who makes it.
        parent: prefix of the key that makes it; it inherits the person and ends with it.
    """

    prefix: str
    digest: bytes
    label: str
    now: datetime
    expires_at: datetime | None
    tenant_id: int
    scopes: Collection[str]
    made_by: str
    parent: str | None


def _below(ceiling: int) -> frozenset[Permission]:
    if ceiling == OF_THE_INSTALLATION:
        return permissions_of(Role.ADMIN) | {Permission.METRICS, Permission.INSTALL}
    return permissions_of(Role(ceiling)) if ceiling else frozenset()


class KeyStore(Refusals, Protocol):
    """Where keys are kept; `enter` as in `people_stores.PeopleStore`."""

    async def add_key(self, new: NewKey, person: str | None, enter: Enter) -> KeyRecord:
        """Keeps a new key of the account `person`, or of the person of its parent, or of the installation."""

    async def find_key(self, prefix: str) -> KeyRecord | None:
        """The key with this prefix, good or not."""

    async def list_keys(self, tenant_id: int | None = None) -> list[KeyRecord]:
        """All keys, or those of a tenant, oldest first."""

    async def revoke_key(self, prefix: str, now: datetime, enter: Enter, *, tenant_id: int | None = None) -> bool:
        """Ends the key, and those that it made, for good; False when there is none, or not in the tenant. Revoking
        twice keeps the first time."""

    async def touch_key(self, key_id: int, now: datetime) -> None:
        """Notes that it was used."""


class Keys:
    """Makes keys, and establishes who asks with one.

    Args:
        store: where they are kept.
        now: the time, aware.
        trail: where acts are entered.
    """

    def __init__(self, store: KeyStore, now: Callable[[], datetime], trail: AuditTrail) -> None:
        self._store = store
        self._now = now
        self._trail = trail
        self._notes = RefusalNotes(store, trail, now)

    async def create(
        self,
        label: str,
        life: timedelta | None = KEY_LIFE,
        *,
        scopes: Collection[Permission] = DEFAULT_SCOPES,
        tenant_id: int = FIRST_TENANT,
    ) -> str:
        """A new key of the installation, for who may do anything on this machine.

        Args:
            label: what it is for.
            life: how long it is good; None until it is revoked.
            scopes: what it may.
            tenant_id: within which tenant.

        Returns:
            `wsk_<prefix>_<secret>`; it is shown once and cannot be had again.

        Raises:
            ConfigError: no scopes, or one that keys cannot have.
        """
        expires_at = None if life is None else self._now() + life
        text, _ = await self._create(label, expires_at, scopes, tenant_id, "command line")
        return text

    async def create_for(
        self, by: Principal, label: str, life: timedelta, scopes: Collection[Permission], address: str | None
    ) -> tuple[str, KeyRecord]:
        """A new key in the tenant that `by` acts in: it may no more than its maker, at any time, and lives no longer
        than the key that made it.

        Args:
            by: who makes it.
            label: what it is for.
            life: how long it is good.
            scopes: what it may.
            address: from where it is made.

        Raises:
            ConfigError: the maker has not these scopes, there are none, or keys cannot have them.
        """
        more = sorted(scope.value for scope in scopes if scope not in by.permissions)
        if more:
            raise ConfigError(f"scopes: you have not {', '.join(more)} yourself; leave that out")
        if by.tenant_id is None:
            raise ConfigError("choose a tenant first, on the page Account")
        expires_at = self._now() + life
        maker = await self._store.find_key(by.actor.removeprefix("key:")) if by.actor.startswith("key:") else None
        if maker is not None and maker.expires_at is not None:
            expires_at = min(expires_at, maker.expires_at)
        return await self._create(label, expires_at, scopes, by.tenant_id, by.actor, address)

    async def list(self, tenant_id: int | None = None) -> list[KeyRecord]:
        """All keys, or those of a tenant, oldest first."""
        return await self._store.list_keys(tenant_id)

    async def revoke(
        self,
        prefix: str,
        *,
        tenant_id: int | None = None,
        actor: str = "command line",
        address: str | None = None,
    ) -> None:
        """Ends a key, and those that it made, for good.

        Args:
            prefix: the key's public part; the whole key is taken too.
            tenant_id: in which tenant; None in any.
            actor: who does it.
            address: from where.

        Raises:
            NotFoundError: there is no such key.
        """
        parts = prefix.split("_", 2)
        name = parts[1] if len(parts) > 1 and parts[0] == KEY_KIND else prefix
        act = Act(actor, "key.revoke", f"key:{name if _is_prefix(name) else 'unknown'}", tenant_id, address)
        enter = partial(self._trail.record, act)
        if not _is_prefix(name) or not await self._store.revoke_key(name, self._now(), enter, tenant_id=tenant_id):
            await self._trail.record(replace(act, outcome=Outcome.FAILED))
            raise NotFoundError(f"no API key has the prefix {name[:20]!r}; see wayside-server api-key list")

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        """The owner of the API key `bearer`, which came from `address`.

        Raises:
            UnauthorizedError: it is no good.
        """
        return _principal(await self._known(bearer, address))

    async def _known(self, bearer: str, address: str | None) -> KeyRecord:
        now = self._now()
        parts = bearer.split("_", 2)
        prefix = parts[1] if len(parts) == 3 and parts[0] == KEY_KIND and _is_prefix(parts[1]) else None
        record = None if prefix is None else await self._store.find_key(prefix)
        # The comparison runs for unknown prefixes too, so that its time tells nothing.
        same = hmac.compare_digest(_digest(bearer), bytes(32) if record is None else record.digest)
        if record is None or not same or not record.valid_at(now):
            raise await self._refused(record, prefix, address)
        await self._touch(record, now)
        return record

    async def _create(
        self,
        label: str,
        expires_at: datetime | None,
        scopes: Collection[Permission],
        tenant_id: int,
        actor: str,
        address: str | None = None,
    ) -> tuple[str, KeyRecord]:
        wrong = sorted(scope.value for scope in scopes if scope not in SCOPES)
        if wrong or not scopes:
            names = ", ".join(scope.value for scope in SCOPES)
            raise ConfigError(f"scopes: {', '.join(wrong) or 'none given'}; a key has some of {names}")
        label = label.encode("utf-8", "replace").decode().replace("\0", " ")
        prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LETTERS))
        text = f"{KEY_KIND}_{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
        given = sorted(scope.value for scope in scopes)
        detail = {"label": label, "scopes": ",".join(given)}
        act = Act(actor, "key.create", f"key:{prefix}", tenant_id, address, detail=detail)
        kind, _, who = actor.partition(":")
        parent = who if kind == "key" else None
        new = NewKey(prefix, _digest(text), label, self._now(), expires_at, tenant_id, given, actor, parent)
        person = who if kind == "person" else None
        return text, await self._store.add_key(new, person, partial(self._trail.record, act))

    async def _touch(self, record: KeyRecord, now: datetime) -> None:
        if record.last_used is None or now - record.last_used >= TOUCH_EVERY:
            await self._store.touch_key(record.key_id, now)

    async def _refused(self, record: KeyRecord | None, prefix: str | None, address: str | None) -> UnauthorizedError:
        """Notes a key that opens nothing: with its prefix, if it has one, for its owner to know it by."""
        tenant_id = None if record is None else record.tenant_id
        # What is no key's prefix is a stranger's word, and may be part of a secret in the wrong place.
        subject = "key:unknown" if record is None else f"key:{record.prefix}"
        told = "API key is not valid" + ("" if prefix is None else f" (prefix {prefix!r})")
        act = Act(f"stranger:{address}", "key.use", subject, tenant_id, address)
        await self._notes.note("api_key", told, act)
        # Which of these it is is not told.
        fix = "it is unknown, revoked or expired; make another on the page Keys"
        return UnauthorizedError(f"the API key is not valid: {fix}")


def scopes_of(names: Sequence[str]) -> set[Permission]:
    """The scopes that `names` name.

    Raises:
        ConfigError: one is none.
    """
    known = {permission.value: permission for permission in SCOPES}
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ConfigError(f"scopes: {wrong[0][:63]!r} is none; a key has some of {', '.join(known)}")
    return {known[name] for name in names}


def _principal(record: KeyRecord) -> Principal:
    held = HELD if record.lacks_factor else None
    personal = record.person_id is not None
    permissions = record.permissions()
    return Principal(f"key:{record.prefix}", record.label, record.tenant_id, permissions, held, personal=personal)


def _is_prefix(text: str) -> bool:
    return len(text) == _PREFIX_LETTERS and set(text) <= set(_PREFIX_ALPHABET)


def _digest(text: str) -> bytes:
    # Text from a header may hold lone surrogates; they must not raise.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
