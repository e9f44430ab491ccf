"""Identity stores in memory; they pass the same contract suite as PostgreSQL's."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime

from wayside_server.domain.audit import Enter
from wayside_server.identity.keys import KeyRecord, NewKey


class MemoryIdentity:
    """`KeyStore` in memory; `refusals` counts by kind."""

    def __init__(self) -> None:
        self.refusals: Counter[str] = Counter()
        self._keys: list[KeyRecord] = []
        self._parents: dict[int, int] = {}

    async def count_refusal(self, kind: str, detail: str, now: datetime, tenant_id: int | None = None) -> None:
        assert now.tzinfo is UTC
        assert "\n" not in detail
        self.refusals[kind] += 1

    async def add_key(self, new: NewKey, person: str | None, enter: Enter) -> KeyRecord:
        assert person is None, "accounts are in PostgreSQL only"
        await enter()
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
            False,
        )
        self._keys.append(record)
        if parent is not None:
            self._parents[record.key_id] = parent.key_id
        return record

    async def find_key(self, prefix: str) -> KeyRecord | None:
        return next((record for record in self._keys if record.prefix == prefix), None)

    async def list_keys(self, tenant_id: int | None = None) -> list[KeyRecord]:
        return [record for record in self._keys if tenant_id in (None, record.tenant_id)]

    async def revoke_key(self, prefix: str, now: datetime, enter: Enter, *, tenant_id: int | None = None) -> bool:
        record = await self.find_key(prefix)
        if record is None or tenant_id not in (None, record.tenant_id):
            return False
        await enter()
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
