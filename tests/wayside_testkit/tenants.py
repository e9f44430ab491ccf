"""Two tenants side by side, whose devices have something everywhere that a tenant can read."""

from dataclasses import dataclass

from wayside_server.identity.keys import Keys
from wayside_server.storage.database import Pool, connection
from wayside_testkit.telemetry import (
    add_dead_letter,
    add_device,
    add_incident,
    add_qualities,
    add_series,
    add_stream,
    at,
)

SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Inhabited:
    """A tenant with a device.

    Args:
        id: the tenant's.
        device: the device's name.
        device_id: the device's.
        mark: a word that stands in everything of its.
        number: what its samples' values begin with.
    """

    id: int
    device: str
    device_id: int
    mark: str
    number: int


async def inhabit(pool: Pool, tenant_id: int, mark: str, number: int) -> Inhabited:
    """Gives a tenant a device called after `mark`, and a row of each kind.

    Its series have the same names as every other tenant's; all its texts have `mark`, all its numbers begin with
    `number`.
    """
    name = f"{mark}-1"
    device = await add_device(pool, name, tenant_id)
    values = [(at(i), float(f"{number}.{i}")) for i in range(SAMPLES)]
    numbers = await add_series(pool, device, "temperature", "Cel", values)
    await add_series(pool, device, "door", "1", [(at(i + 0.5), f"open for {mark}") for i in range(3)])
    await add_qualities(pool, numbers, [(at(SAMPLES + 1), 64), (at(2), 1)])
    await add_stream(pool, device, [(1, 0, 23, "stored"), (2, 23, 2, "dropped:full")], accepted=25)
    await add_dead_letter(pool, name, mark.encode(), "malformed", f"letter of {mark}")
    await add_incident(pool, device, "card_restored", f"incident of {mark}")
    async with connection(pool) as conn:
        await conn.execute(
            "INSERT INTO latest (series_id, ts, value) VALUES (%s, %s, %s)", [numbers, at(9), float(f"{number}.9")]
        )
        await conn.execute(
            "INSERT INTO device_log (device_id, run, number, level, module, text, data)"
            " VALUES (%s, 'run', 1, 30, 'agent', %s, '{}')",
            [device, f"line of {mark}"],
        )
        await conn.execute("UPDATE tenant SET name = %s, title = %s WHERE id = %s", [mark, f"all of {mark}", tenant_id])
        await conn.execute("INSERT INTO device_group (tenant_id, name) VALUES (%s, %s)", [tenant_id, f"{mark}-group"])
        await conn.execute(
            "INSERT INTO tenant_refusal VALUES (%s, 'api_key', '2026-03-01', 3, '2026-03-01', %s)",
            [tenant_id, f"refusal of {mark}"],
        )
    return Inhabited(tenant_id, name, device, mark, number)


async def key_of(keys: Keys, pool: Pool, tenant_id: int) -> str:
    """A key of a tenant."""
    key = await keys.create("test")
    async with connection(pool) as conn:
        await conn.execute("UPDATE api_key SET tenant_id = %s WHERE prefix = %s", [tenant_id, key.split("_")[1]])
    return key
