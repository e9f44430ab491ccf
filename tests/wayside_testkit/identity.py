"""Identity stores in memory; they pass the same contract suite as PostgreSQL's."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime

from wayside_server.domain.access import Principal, Role, permissions_of
from wayside_server.identity.keys import KeyRecord, Keys


class ManagingKeys(Keys):
    """Keys that may all that an engineer of their tenant may."""

    async def authenticate(self, bearer: str) -> Principal:
        """As `Keys`."""
        return _engineer(await super().authenticate(bearer))

    async def resume(self, session: str) -> Principal:
        """As `Keys`."""
        return _engineer(await super().resume(session))


def _engineer(principal: Principal) -> Principal:
    return dataclasses.replace(principal, permissions=principal.permissions | permissions_of(Role.ENGINEER))


class MemoryIdentity:
    """`KeyStore` in memory; `refusals` counts by kind."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self._keys: list[KeyRecord] = []
        self._sessions: dict[bytes, tuple[int, datetime]] = {}
        self._links: dict[bytes, tuple[int, datetime]] = {}

    async def count_refusal(self, kind: str, detail: str, now: datetime, tenant_id: int | None = None) -> None:
        assert now.tzinfo is UTC
        assert "\n" not in detail
        self.refusals[kind] += 1

    async def add_key(
        self, prefix: str, digest: bytes, label: str, now: datetime, expires_at: datetime | None
    ) -> KeyRecord:
        record = KeyRecord(len(self._keys), prefix, digest, label, now, expires_at, None, None, tenant_id=1)
        self._keys.append(record)
        return record

    async def find_key(self, prefix: str) -> KeyRecord | None:
        return next((record for record in self._keys if record.prefix == prefix), None)

    async def list_keys(self) -> list[KeyRecord]:
        return list(self._keys)

    async def revoke_key(self, prefix: str, now: datetime) -> bool:
        record = await self.find_key(prefix)
        if record is not None:
            self._keys[record.key_id] = dataclasses.replace(record, revoked_at=record.revoked_at or now)
        return record is not None

    async def touch_key(self, key_id: int, now: datetime) -> None:
        self._keys[key_id] = dataclasses.replace(self._keys[key_id], last_used=now)

    async def add_session(self, digest: bytes, key_id: int, now: datetime, expires_at: datetime) -> None:
        self._sessions = {d: session for d, session in self._sessions.items() if session[1] > now}
        self._sessions[digest] = key_id, expires_at

    async def session_key(self, digest: bytes, now: datetime) -> KeyRecord | None:
        key_id, expires_at = self._sessions.get(digest, (0, now))
        return self._keys[key_id] if expires_at > now else None

    async def end_session(self, digest: bytes) -> None:
        self._sessions.pop(digest, None)

    async def add_link(self, digest: bytes, key_id: int, expires_at: datetime) -> None:
        self._links[digest] = key_id, expires_at

    async def spend_link(self, digest: bytes, now: datetime) -> KeyRecord | None:
        key_id, expires_at = self._links.pop(digest, (0, now))
        return self._keys[key_id] if expires_at > now else None
