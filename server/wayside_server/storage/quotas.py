"""What tenants may still take up: asked where a device or a series would be made, and now and then of samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wayside_server.domain.ingest import Batch, Garbage, Item
from wayside_server.domain.limits import TENANT_FULL
from wayside_server.errors import RejectedError
from wayside_server.storage.database import Connection, fetch
from wayside_server.storage.ingest_group import Group, blocks_of
from wayside_server.storage.statements import load_statements
from wayside_shared.rejects import RejectCode

_SQL = load_statements("quotas")

LOOK_EVERY_S = 10.0
"""A sum over all streams of a tenant is too much for each group; so a tenant may go over by what it sends meanwhile."""


@dataclass(slots=True)
class SeriesRoom:
    """What a tenant may still make of series.

    Args:
        tenant: its name.
        most: series that it may have.
        left: series that it may still make.
    """

    tenant: str
    most: int
    left: int


async def may_keep_devices(conn: Connection, tenant_id: int) -> bool:
    """Whether a tenant may have all its devices, one that the transaction of `conn` has just made among them.

    The answer holds until the transaction ends; when it is no, it must be rolled back.
    """
    row = await (await conn.execute(_SQL["lock_device_quota"], {"tenant_id": tenant_id})).fetchone()
    if row is None or row[1]:
        return False
    if row[0] is None:
        return True
    ((count,),) = await fetch(conn, _SQL["count_devices"], {"tenant_id": tenant_id})
    return int(count) <= int(str(row[0]))


async def series_room(conn: Connection, device_ids: Sequence[int]) -> Mapping[int, SeriesRoom]:
    """The room of each device, shared by those of one tenant; none for a tenant without a quota.

    It holds until the transaction ends: nobody else makes series of these tenants meanwhile.
    """
    bounded = await fetch(conn, _SQL["lock_series_quotas"], {"device_ids": list(device_ids)})
    if not bounded:
        return {}
    tenant_ids = [tenant_id for tenant_id, _, _ in bounded]
    counts = dict(await fetch(conn, _SQL["count_series"], {"tenant_ids": tenant_ids}))
    rooms = {tenant_id: SeriesRoom(name, most, most - counts.get(tenant_id, 0)) for tenant_id, name, most in bounded}
    owners = await fetch(conn, _SQL["devices_of"], {"device_ids": list(device_ids), "tenant_ids": tenant_ids})
    return {device_id: rooms[tenant_id] for device_id, tenant_id in owners}


class SampleQuotas:
    """Refuses samples of tenants that have stored as many as they may.

    Args:
        look_every_s: how long an answer is believed.
    """

    def __init__(self, look_every_s: float = LOOK_EVERY_S) -> None:
        self._look_every_s = look_every_s
        self._looked: float | None = None
        self._full: Mapping[int, tuple[str, int]] = {}

    async def admit(self, conn: Connection, group: Group, items: Sequence[Item]) -> Sequence[Item]:
        """`items`, those with samples of a full tenant refused."""
        now = time.monotonic()
        if self._looked is None or now - self._looked >= self._look_every_s:
            found = await fetch(conn, _SQL["over_samples"], {})
            self._full = {tenant_id: (name, most) for tenant_id, name, most in found}
            self._looked = now
        if not self._full:
            return items
        asked = {"device_ids": sorted(group.devices.values()), "tenant_ids": list(self._full)}
        owners = dict(await fetch(conn, _SQL["devices_of"], asked))
        return [self._admitted(group, item, owners.get(group.devices[item.raw.device])) for item in items]

    def _admitted(self, group: Group, item: Item, full: int | None) -> Item:
        if full is None or not blocks_of(item):
            return item
        name, most = self._full[full]
        detail = f"tenant {name} may store {most} samples (wayside-server tenant limit)"
        group.note(item.raw.device, TENANT_FULL, detail)
        error = RejectedError(RejectCode.TENANT_FULL, detail)
        return replace(item, content=error) if isinstance(item, Batch) else Garbage(item.raw, error)
