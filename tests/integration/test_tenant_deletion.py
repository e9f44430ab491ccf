"""A tenant is deleted with all it has, in whatever tables (reliability row 33), and nothing else is."""

from collections.abc import Mapping

import pytest

from wayside_server.domain.audit import Outcome
from wayside_server.domain.tenants import Quota
from wayside_server.errors import ConfigError, NotFoundError, StorageError
from wayside_server.identity.tenants import Removed, Tenants
from wayside_server.storage import tenants as storage_tenants
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.tenant_rows import OUTLIVE, find_tenant_rows
from wayside_server.storage.tenants import PostgresTenants, count_rows
from wayside_testkit.audit import MemoryTrail
from wayside_testkit.telemetry import add_device, add_series, at, reading_of
from wayside_testkit.tenants import Inhabited, inhabit

INSTALLATIONS_OWN = {
    *(
        "audit_head",
        "deleted_device",
        "refusal",
        "revocation_list",
        "revoked_serial",
        "schema_migration",
        "session_to_end",
    ),
    *("person", "recovery_code", "sign_in_attempt", "sign_in_link"),
}
"""Tables that have nothing of any tenant."""


@pytest.fixture
def trail() -> MemoryTrail:
    return MemoryTrail()


@pytest.fixture
def tenants(pool: Pool, trail: MemoryTrail) -> Tenants:
    return Tenants(PostgresTenants(pool), trail)


async def _inhabited(pool: Pool, tenants: Tenants, name: str) -> Inhabited:
    """A tenant with rows in every table that can have any."""
    made = await tenants.create(name, name.title(), Quota(), actor="test")
    own = await inhabit(pool, made.id, name, 10 + made.id)
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO certificate VALUES (%s, %s, now() - interval '2 days', now() - interval '1 day')",
            [made.id, own.device_id],
        )
        await conn.execute(
            "INSERT INTO enrolment_token (digest, expires_at, device_id, tenant_id)"
            " VALUES (sha256(%s::text::bytea), now(), %s, %s)",
            [name, own.device_id, made.id],
        )
        await conn.execute(
            "INSERT INTO pending_enrolment (kind, key_sha256, csr, codes, address, network, first_seen, last_seen,"
            " expires_at, tenant_id)"
            " VALUES ('new', sha256(%s::text::bytea), '', '{}', '', '', now(), now(), now(), %s)",
            [name, made.id],
        )
        await conn.execute(
            "INSERT INTO api_key (prefix, digest, label, tenant_id) VALUES (%s, sha256(%s::text::bytea), 'k', %s)",
            [name, name, made.id],
        )
        await conn.execute("INSERT INTO person (name, display_name, created_at) VALUES (%s, %s, now())", [name, name])
        for statement in (
            b"INSERT INTO membership (person_id, tenant_id, role) SELECT id, %s, 1 FROM person WHERE name = %s",
            b"INSERT INTO invitation (digest, tenant_id, role, label, made_by, created_at, expires_at)"
            b" SELECT sha256(name::bytea), %s, 1, '', '', now(), now() FROM person WHERE name = %s",
            b"INSERT INTO session"
            b" (digest, person_id, tenant_id, method, factor_done, created_at, last_used, expires_at)"
            b" SELECT sha256(name::bytea), id, %s, 'link', true, now(), now(), now() FROM person WHERE name = %s",
        ):
            await conn.execute(statement, [made.id, name])
    return own


async def _delete(tenants: Tenants, name: str, *, force: bool = False) -> list[Removed]:
    return [step async for step in tenants.delete(name, actor="test", force=force)]


async def _counts(pool: Pool, tenant_id: int) -> Mapping[str, int]:
    async with connection(pool) as conn:
        return await count_rows(conn, tenant_id)


async def test_every_table_has_rows_of_a_tenant_or_of_none(pool: Pool, tenants: Tenants) -> None:
    """A table of a later migration must be reached, filled in these tests, or named as no tenant's."""
    own = await _inhabited(pool, tenants, "birch")
    async with connection(pool) as conn:
        found = await conn.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        every = {str(name) for (name,) in await found.fetchall()}
        reached = set((await find_tenant_rows(conn)).tables)
    assert reached | INSTALLATIONS_OWN | OUTLIVE == every
    counts = await _counts(pool, own.id)
    assert {table for table, count in counts.items() if count == 0} == set(), "fill these in _inhabited"


async def test_nothing_is_left_and_nothing_else_is_gone(
    pool: Pool, database: str, tenants: Tenants, trail: MemoryTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 33: tenant delete removes rows, verified."""
    monkeypatch.setattr(storage_tenants, "STEP_ROWS", 7)
    monkeypatch.setattr(storage_tenants, "SERIES_AT_ONCE", 1)
    own, other = await _inhabited(pool, tenants, "birch"), await _inhabited(pool, tenants, "cedar")
    await add_series(pool, own.device_id, "many", "1", [(at(i // 3), float(i)) for i in range(50)])
    before, others = await _counts(pool, own.id), await _counts(pool, other.id)
    steps = await _delete(tenants, "birch")
    assert set((await _counts(pool, own.id)).values()) == {0}
    assert await _counts(pool, other.id) == others
    assert {step.table: step.rows for step in steps} == before
    assert len([step for step in steps if step.table == "sample"]) > 5
    async with connection(pool) as conn:
        for table in ("sample", "sample_value", "sample_quality", "latest"):
            left = await conn.execute(
                f"SELECT count(*) FROM {table} WHERE series_id NOT IN (SELECT id FROM series)".encode()
            )
            assert await left.fetchone() == (0,), table
        left = await conn.execute("SELECT count(*) FROM ingest_batch WHERE stream_id NOT IN (SELECT id FROM stream)")
        assert await left.fetchone() == (0,)
    assert (await reading_of(pool, database, other.id).account(other.device, verify=True)).missing == 0
    assert [(act.action, act.subject) for act in trail.acts[-2:]] == [
        ("tenant.delete", "tenant:birch"),
        ("tenant.deleted", "tenant:birch"),
    ]
    assert trail.acts[-1].detail["rows"] == sum(before.values())
    with pytest.raises(NotFoundError, match="no tenant 'birch'"):
        await _delete(tenants, "birch")


@pytest.mark.parametrize(
    ("state", "left", "reason"),
    [("online", "-1 day", "1 devices connected"), ("offline", "1 day", "1 devices with a certificate")],
)
async def test_who_could_still_send_is_in_the_way(
    pool: Pool, tenants: Tenants, state: str, left: str, reason: str
) -> None:
    own = await _inhabited(pool, tenants, "birch")
    async with connection(pool) as conn:
        await conn.execute("UPDATE device SET state = %s WHERE id = %s", [state, own.device_id])
        await conn.execute("UPDATE certificate SET not_after = now() + %s::interval", [left])
    before = await _counts(pool, own.id)
    with pytest.raises(ConfigError, match=reason + ".*birch-1.*--force"):
        await _delete(tenants, "birch")
    assert await _counts(pool, own.id) == before
    await _delete(tenants, "birch", force=True)
    assert set((await _counts(pool, own.id)).values()) == {0}


async def test_a_deletion_that_devices_outrun_says_so_and_is_begun_again(
    pool: Pool, tenants: Tenants, trail: MemoryTrail
) -> None:
    own = await _inhabited(pool, tenants, "birch")
    async with connection(pool) as conn:
        # As ingest would: whenever the last series is gone, there is a new one.
        await conn.execute(
            "CREATE FUNCTION send() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO series (device_id, name, unit) SELECT id, random(), '1' FROM device WHERE name = 'birch-1';"
            " RETURN NULL; END $$;"
            " CREATE TRIGGER send AFTER DELETE ON series FOR EACH STATEMENT EXECUTE FUNCTION send()"
        )
        with pytest.raises(StorageError, match="go on sending; revoke them"):
            await _delete(tenants, "birch")
        assert trail.acts[-1].outcome is Outcome.FAILED
        keys = await conn.execute("SELECT count(*) FROM api_key WHERE tenant_id = %s AND revoked_at IS NULL", [own.id])
        assert await keys.fetchone() == (0,)
        await conn.execute("DROP FUNCTION send CASCADE")
    await _delete(tenants, "birch")
    assert set((await _counts(pool, own.id)).values()) == {0}


async def test_the_first_tenant_stays(pool: Pool, tenants: Tenants) -> None:
    with pytest.raises(ConfigError, match="first tenant"):
        await _delete(tenants, "default", force=True)


async def test_tenants_are_listed_with_what_they_have(pool: Pool, tenants: Tenants, trail: MemoryTrail) -> None:
    own = await _inhabited(pool, tenants, "birch")
    await tenants.limit("birch", Quota(devices=5), actor="test")
    birch, default = await tenants.every()
    assert (default.name, default.usage.devices, default.quota) == ("default", 0, Quota())
    assert (birch.id, birch.title, birch.quota) == (own.id, "all of birch", Quota(devices=5))
    assert (birch.usage.devices, birch.usage.series, birch.usage.samples) == (1, 2, 23)
    assert trail.acts[-1].detail == {"devices": 5, "series": None, "samples": None}
    for name, reason in (("Birch", "2 to 63 of a-z"), ("birch", "already"), ("x", "2 to 63 of a-z")):
        with pytest.raises(ConfigError, match=reason):
            await tenants.create(name, "t", Quota(), actor="test")
    with pytest.raises(ConfigError, match="printable"):
        await tenants.create("cedar", "a\nb", Quota(), actor="test")


async def test_a_device_without_rows_of_its_own_is_deleted_too(pool: Pool, tenants: Tenants) -> None:
    made = await tenants.create("birch", "Birch", Quota(), actor="test")
    await add_device(pool, "bare-1", made.id)
    assert {step.table for step in await _delete(tenants, "birch")} == {"device", "tenant"}
