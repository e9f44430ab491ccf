"""Devices that send more than they may, over a real broker: agents are slowed and lose nothing (row 19)."""

import asyncio
from pathlib import Path

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from wayside_server.domain.rates import RateLimits
from wayside_server.domain.refusals import MEANINGS, TOO_MANY_MESSAGES
from wayside_server.storage.database import Pool
from wayside_shared.plain import JSON_TYPE
from wayside_shared.topics import Channel, topic
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side

RATES = RateLimits(device_messages=20.0)
BURST = 200


async def stored(pool: Pool, device: str) -> list[float]:
    statement = (
        "SELECT value FROM sample JOIN series ON series.id = sample.series_id JOIN device ON device.id = device_id"
        " WHERE device.name = %s ORDER BY value"
    )
    async with pool.connection() as connection:
        rows = await (await connection.execute(statement.encode(), [device])).fetchall()
    return [float(row[0]) for row in rows]


async def refused(pool: Pool) -> int:
    assert TOO_MANY_MESSAGES in MEANINGS
    statement = "SELECT coalesce(sum(count), 0) FROM tenant_refusal WHERE kind = %s"
    async with pool.connection() as connection:
        row = await (await connection.execute(statement.encode(), [TOO_MANY_MESSAGES])).fetchone()
    assert row is not None
    return int(row[0])


async def send_plain(broker: Broker, who: Credentials, count: int) -> None:
    """A device without the agent, which sends as fast as it can."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = JSON_TYPE
    async with aiomqtt.Client(
        *(broker.host, broker.port), identifier=who.name, protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(), max_inflight_messages=20,
    ) as client:  # fmt: skip
        for number in range(count):
            payload = f'{{"ts": {1_772_323_200_000 + number}, "values": {{"t": {number}}}}}'
            await client.publish(topic(who.name, Channel.UP), payload, 1, properties=properties)


async def test_an_agent_with_much_to_send_is_slowed_and_loses_nothing_row_19(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    count = BURST + 60
    async with edge_side(tmp_path / "outbox.db", broker, credentials.device("boiler-7")) as device:
        for number in range(count):
            await device.accept([float(number)])
        began = asyncio.get_running_loop().time()
        async with server_side(broker, credentials.service(), pool, RATES):
            await device.delivered()
            took_s = asyncio.get_running_loop().time() - began
            refusals = await refused(pool)
    assert await stored(pool, "boiler-7") == [float(number) for number in range(count)]
    assert took_s >= (count - BURST) / RATES.device_messages, "not faster than it may"
    assert refusals == 0, "it heeds what it is told, so nothing had to be sent twice"


async def test_a_device_that_does_not_heed_costs_others_nothing_and_is_counted_row_19(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    count = 3 * BURST
    async with (
        server_side(broker, credentials.service(), pool, RATES),
        edge_side(tmp_path / "outbox.db", broker, credentials.device("boiler-7")) as device,
    ):
        flood = asyncio.create_task(send_plain(broker, credentials.device("flooder"), count))
        for number in range(20):
            await device.accept([float(number)])
            await asyncio.sleep(0.05)
        await device.delivered()
        await flood
        async with asyncio.timeout(20):
            while (taken := len(await stored(pool, "flooder"))) + await refused(pool) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    assert BURST <= taken < count
    assert await stored(pool, "boiler-7") == [float(number) for number in range(20)]
