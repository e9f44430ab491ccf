"""A tenant takes up no more than its quota, however many devices it has; others do not notice."""

import asyncio
from dataclasses import replace

import psycopg
import pytest

from wayside_server.domain.access import Permission, Principal
from wayside_server.domain.limits import TENANT_FULL, TOO_MANY_SERIES, DeviceLimits
from wayside_server.domain.tenants import Quota, Usage
from wayside_server.identity.crl import Reason
from wayside_server.identity.issuing import TenantFullError
from wayside_server.identity.revocation import Revocations
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.quotas import may_keep_devices
from wayside_server.storage.revocation import PostgresRevocations
from wayside_server.storage.tenants import PostgresTenants
from wayside_shared.plain import JSON_TYPE
from wayside_shared.rejects import RejectCode
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.batches import Device, column, received
from wayside_testkit.enrolment import HERE, ONE, EnrolmentSite, certificate_request
from wayside_testkit.telemetry import add_device, add_tenant, reading_of

ENGINEER = Principal("person:ada", "Ada", 1, frozenset([Permission.MANAGE]))


@pytest.fixture
async def tenant(pool: Pool) -> int:
    """A tenant with two devices."""
    made = await add_tenant(pool, "birch")
    for name in ("birch-1", "birch-2"):
        await add_device(pool, name, made)
    return made


def _store(pool: Pool) -> PostgresIngest:
    return PostgresIngest(pool, "test", DeviceLimits(), look_every_s=0.0)


async def test_devices_share_the_series_of_their_tenant(pool: Pool, database: str, tenant: int) -> None:
    await PostgresTenants(pool).limit(tenant, Quota(series=3))
    first, second, stranger = Device("birch-1"), Device("birch-2"), Device("amber-1")
    many = [column(name, [1.0]) for name in "abcde"]
    settlement = await _store(pool).settle(
        [
            first.item(*many[:2]),
            second.item(*many[:2]),
            second.item(many[0]),
            stranger.item(*many),
            received("birch-2", b'{"values":{"z":1}}', JSON_TYPE),
        ]
    )
    assert {device: [reject.code for reject in ack.rejects] for device, ack in settlement.acks} == {
        "birch-1": [],
        "birch-2": [RejectCode.TOO_MANY_SERIES],
        "amber-1": [],
    }
    assert (settlement.stored, settlement.dead) == (8, 2)
    reading = reading_of(pool, database, tenant)
    account = await reading.account("birch-2", verify=True)
    assert (account.rejected, account.missing) == ({"too_many_series": 2}, 0)
    (incident,) = await reading.incidents("birch-2", before_id=99, limit=9)
    assert incident.kind == TOO_MANY_SERIES
    assert incident.detail == "tenant birch may have 3 series (wayside-server tenant limit)"
    assert (await reading.usage()).usage == Usage(devices=2, series=3, samples=3)


async def test_sessions_that_run_at_once_keep_the_quota_together(pool: Pool, tenant: int) -> None:
    await PostgresTenants(pool).limit(tenant, Quota(series=10))
    devices = [Device("birch-1"), Device("birch-2")]
    items = [[device.item(column(f"s{n}", [1.0])) for n in range(12)] for device in devices]

    async def send(mine: int) -> None:
        store = _store(pool)
        for item in items[mine]:
            await store.settle([item])

    await asyncio.gather(send(0), send(1))
    found = await PostgresTenants(pool).find("birch")
    assert found is not None
    assert found.usage.series == 10


async def test_a_full_tenant_stores_no_more_and_says_so(pool: Pool, database: str, tenant: int) -> None:
    await PostgresTenants(pool).limit(tenant, Quota(samples=5))
    store, device, stranger = _store(pool), Device("birch-1"), Device("amber-1")
    full = device.item(column("a", [float(i) for i in range(5)]))
    assert (await store.settle([full])).stored == 5
    over = device.item(column("a", [5.0, 6.0], start_s=5))
    settlement = await store.settle([full, over, received("birch-2", b'{"values":{"z":1}}', JSON_TYPE)])
    assert [(ack.ranges, [reject.code for reject in ack.rejects]) for name, ack in settlement.acks] == [
        ([(1, 1)], [RejectCode.TENANT_FULL])
    ], "what was stored before is confirmed again"
    assert (await store.settle([stranger.item(column("a", [1.0]))])).stored == 1
    reading = reading_of(pool, database, tenant)
    assert (await reading.account("birch-1", verify=True)).rejected == {"tenant_full": 2}
    assert {incident.kind for incident in await reading.incidents(None, before_id=99, limit=9)} == {TENANT_FULL}
    await PostgresTenants(pool).limit(tenant, Quota())
    assert (await store.settle([device.item(column("a", [7.0], start_s=7))])).stored == 1


async def test_a_tenant_has_as_many_devices_as_it_may_have(pool: Pool, tenant: int) -> None:
    store = PostgresTenants(pool)

    async def enrol(name: str) -> bool:
        async with connection(pool) as conn, conn.transaction() as transaction:
            await conn.execute("INSERT INTO device (name, tenant_id) VALUES (%s, %s)", [name, tenant])
            if not await may_keep_devices(conn, tenant):
                raise psycopg.Rollback(transaction)
            return True
        return False

    assert await enrol("birch-3")
    await store.limit(tenant, Quota(devices=4))
    assert sum(await asyncio.gather(*(enrol(f"birch-{n}") for n in range(4, 10)))) == 1
    found = await store.find("birch")
    assert found is not None
    assert found.usage.devices == 4
    await store.limit(tenant, Quota())
    await store.close(tenant)
    assert not await enrol("birch-10"), "nothing is enrolled into a tenant that is being deleted"


async def test_a_tenant_at_its_quota_of_devices_enrols_known_ones_and_no_more(pool: Pool) -> None:
    site = EnrolmentSite(PostgresEnrolment(pool))
    many = replace(ONE, uses=5)
    token = await site.token(many)
    first = await site.enrolments.enrol(token, certificate_request(), HERE)
    async with connection(pool) as conn:
        await conn.execute("UPDATE tenant SET max_devices = 1 WHERE id = 1")
    with pytest.raises(TenantFullError):
        await site.enrolments.enrol(token, certificate_request(), HERE)
    again = await site.token(replace(ONE, name=first.device, replace=True))
    assert (await site.enrolments.enrol(again, certificate_request(), HERE)).device == first.device
    async with connection(pool) as conn:
        await conn.execute("UPDATE tenant SET max_devices = 2 WHERE id = 1")
    await site.enrolments.enrol(token, certificate_request(), HERE)


async def test_a_revoked_device_makes_room_for_another_and_comes_back_only_into_room(pool: Pool, database: str) -> None:
    site = EnrolmentSite(PostgresEnrolment(pool))
    token = await site.token(replace(ONE, uses=5))
    first = await site.enrolments.enrol(token, certificate_request(), HERE)
    async with connection(pool) as conn:
        await conn.execute("UPDATE tenant SET max_devices = 1 WHERE id = 1")
    revocations = Revocations(PostgresRevocations(pool, database), MemoryTrail(), site.now)
    await revocations.revoke(first.device, ENGINEER, Reason.UNSPECIFIED)
    second = await site.enrolments.enrol(token, certificate_request(), HERE)
    with pytest.raises(TenantFullError):
        await revocations.restore(first.device, ENGINEER)
    await revocations.revoke(second.device, ENGINEER, Reason.UNSPECIFIED)
    await revocations.restore(first.device, ENGINEER)
