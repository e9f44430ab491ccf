"""Identity stores in memory; they pass the same contract suite as PostgreSQL's."""

import asyncio
import copy
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from cryptography import x509

from wayside_server.identity.enrolment import EnrolmentTransaction, StoredToken
from wayside_server.identity.keys import KeyRecord, NewKey


class MemoryIdentity:
    """`EnrolmentStore` and `KeyStore` in memory.

    `refusals` counts by kind; `serials` lists the certificates recorded, `devices` the devices made.
    """

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self.serials: list[int] = []
        self.devices: list[str] = []
        self._tokens: dict[bytes, StoredToken] = {}
        self._keys: list[KeyRecord] = []
        self._parents: dict[int, int] = {}
        self._lock = asyncio.Lock()

    async def add_token(self, digest: bytes, device_name: str | None, expires_at: datetime) -> None:
        self._tokens[digest] = StoredToken(len(self._tokens), device_name, expires_at, used=False)

    @asynccontextmanager
    async def enrolment(self) -> AsyncIterator[EnrolmentTransaction]:
        async with self._lock:
            before = copy.copy(self._tokens), copy.copy(self.serials), copy.copy(self.devices)
            try:
                yield _MemoryEnrolment(self)
            except BaseException:
                self._tokens, self.serials, self.devices = before
                raise

    async def count_refusal(self, kind: str, detail: str, now: datetime) -> None:
        assert now.tzinfo is UTC
        assert "\n" not in detail
        self.refusals[kind] += 1

    async def add_key(self, new: NewKey, person: str | None) -> KeyRecord:
        assert person is None, "accounts are in PostgreSQL only"
        parent = None if new.parent is None else await self.find_key(new.parent)
        record = KeyRecord(
            len(self._keys),
            new.prefix,
            new.digest,
            new.label,
            new.now,
            new.expires_at,
            None,
            None,
            new.tenant_id,
            new.scopes,
            new.made_by,
            None,
            None,
        )
        self._keys.append(record)
        if parent is not None:
            self._parents[record.key_id] = parent.key_id
        return record

    async def find_key(self, prefix: str) -> KeyRecord | None:
        return next((record for record in self._keys if record.prefix == prefix), None)

    async def list_keys(self, tenant_id: int | None = None) -> list[KeyRecord]:
        return [record for record in self._keys if tenant_id in (None, record.tenant_id)]

    async def revoke_key(self, prefix: str, now: datetime, tenant_id: int | None = None) -> bool:
        record = await self.find_key(prefix)
        if record is None or tenant_id not in (None, record.tenant_id):
            return False
        ended = {record.key_id}
        for key_id, parent in self._parents.items():
            if parent in ended:
                ended.add(key_id)
        for key_id in ended:
            one = self._keys[key_id]
            self._keys[key_id] = dataclasses.replace(one, revoked_at=one.revoked_at or now)
        return True

    async def touch_key(self, key_id: int, now: datetime) -> None:
        self._keys[key_id] = dataclasses.replace(self._keys[key_id], last_used=now)

    def _token(self, digest: bytes) -> StoredToken | None:
        return self._tokens.get(digest)

    def _burn(self, token_id: int) -> None:
        self._tokens = {
            digest: dataclasses.replace(token, used=True) if token.token_id == token_id else token
            for digest, token in self._tokens.items()
        }


class _MemoryEnrolment:
    def __init__(self, store: MemoryIdentity) -> None:
        self._store = store

    async def token(self, digest: bytes) -> StoredToken | None:
        await asyncio.sleep(0)
        return self._store._token(digest)

    async def device(self, name: str) -> int:
        if name not in self._store.devices:
            self._store.devices.append(name)
        return self._store.devices.index(name)

    async def issued(self, token_id: int, device_id: int, certificate: x509.Certificate, now: datetime) -> None:
        self._store._burn(token_id)
        self._store.serials.append(certificate.serial_number)
