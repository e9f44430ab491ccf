"""What docs/how-to/use-your-own-postgresql.md tells to type, typed."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest

from wayside_server.domain.limits import DeviceLimits
from wayside_server.errors import ConfigError
from wayside_server.storage.database import new_pool, open_pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.roles import APP_ROLE as APP
from wayside_server.storage.roles import AS_APP
from wayside_server.storage.schema import migrate
from wayside_testkit.batches import Device, column
from wayside_testkit.telemetry import reading_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-your-own-postgresql.md"
ROLE, APP_ROLE, READER, SETTINGS, HYPERTABLES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)


def _run(conninfo: str, text: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    with psycopg.connect(conninfo, autocommit=True) as conn:
        # One by one: CREATE DATABASE refuses company.
        for statement in filter(str.strip, text.split(";\n")):
            cursor = conn.execute(cast(LiteralString, statement))
            rows.extend(cursor.fetchall() if cursor.description else [])
    return rows


@pytest.fixture
def owned(postgres_server: str) -> Iterator[str]:
    """The conninfo of role and database made as the page says, under a name of their own."""
    name = f"wayside_own_{secrets.token_hex(4)}"
    try:
        _run(postgres_server, re.sub(r"\bwayside\b", name, ROLE))
        made, _, rest = APP_ROLE.partition("\n")
        assert made == f"CREATE ROLE {APP} NOLOGIN;"
        if not _run(postgres_server, f"SELECT 1 FROM pg_roles WHERE rolname = '{APP}'"):
            _run(postgres_server, made)
        _run(postgres_server, re.sub(r"\bwayside\b", name, rest))
        yield psycopg.conninfo.make_conninfo(
            postgres_server,
            user=name,
            dbname=name,
            password="choose another one",
        )
    finally:
        _run(postgres_server, f"DROP DATABASE IF EXISTS {name} (FORCE);\nDROP ROLE IF EXISTS {name};\n")


async def test_the_role_of_the_page_can_do_all_that_the_server_does(owned: str) -> None:
    await migrate(owned)
    async with open_pool(owned) as pool:
        settlement = await PostgresIngest(pool, "test", DeviceLimits()).settle([Device().item(column("t", [1.0, 2.0]))])
    assert settlement.stored == 2
    settings = {name: setting for name, setting, _ in _run(owned, SETTINGS)}
    assert settings == {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
    if _run(owned, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"):
        assert {name for name, _ in _run(owned, HYPERTABLES)} == {"sample", "sample_value"}
    assert await migrate(owned) == []


async def test_the_role_of_the_page_is_bound_by_policies_and_can_be_dumped(owned: str) -> None:
    await migrate(owned)
    async with open_pool(owned) as pool:
        await PostgresIngest(pool, "test", DeviceLimits()).settle([Device().item(column("t", [1.0, 2.0]))])
        own, other = (reading_of(pool, owned, tenant_id) for tenant_id in (1, 2))
        assert [device.name for device in await own.devices(after="", search="", limit=9)] == ["boiler-7"]
        assert (await own.account("boiler-7", verify=True)).stored == 2
        assert not await other.devices(after="", search="", limit=9)
    # What pg_dump --enable-row-security does for each table.
    assert _run(owned, "SET row_security = on;\nSELECT count(*) FROM device") == [(1,)]


async def test_the_reader_of_the_page_sees_one_tenant_and_becomes_nobody_else(owned: str, postgres_server: str) -> None:
    await migrate(owned)
    owner = psycopg.conninfo.conninfo_to_dict(owned)["user"]
    reader = f"{owner}_reader"
    try:
        _run(postgres_server, re.sub(r"\bwayside\b", str(owner), READER.replace("wayside_reader", reader)))
        reading = psycopg.conninfo.make_conninfo(owned, user=reader, password="and yet another one")
        async with open_pool(owned) as pool, new_pool(reading, options=AS_APP) as answering:
            await PostgresIngest(pool, "test", DeviceLimits()).settle([Device().item(column("t", [1.0, 2.0]))])
            own, other = (reading_of(answering, reading, tenant_id) for tenant_id in (1, 2))
            assert (await own.account("boiler-7", verify=True)).stored == 2
            assert not await other.devices(after="", search="", limit=9)
        for refused in (f"SET ROLE {owner}", "SELECT count(*) FROM device"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                _run(reading, refused)
    finally:
        _run(postgres_server, f"DROP OWNED BY {reader};\nDROP ROLE IF EXISTS {reader};\n")


async def test_a_role_that_may_not_become_the_other_is_told_what_to_have_typed(
    owned: str, postgres_server: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(owned)["user"]
    _run(postgres_server, f"REVOKE {APP} FROM {name}")
    with pytest.raises(ConfigError, match=f'let a superuser type: GRANT {APP} TO "{name}";$'):
        await migrate(owned)
    _run(postgres_server, f"GRANT {APP} TO {name}")
    assert await migrate(owned)
