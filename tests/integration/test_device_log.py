"""The way of a line of log: from a running agent, over the broker, to the table, the API and the console's page."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from wayside_server.api.service import create_app
from wayside_server.console.pages import console_router
from wayside_server.domain.ingest import DeviceLog, Garbage, Item
from wayside_server.domain.limits import DeviceLimits
from wayside_server.storage.database import Pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading, PostgresTenantReading
from wayside_shared.device_log import LogLine, encode_log
from wayside_shared.rejects import RejectCode
from wayside_shared.topics import Channel
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.batches import received
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import server_side
from wayside_testkit.people import doors_of, open_office
from wayside_testkit.telemetry import reading_of

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]

RUN = "0123456789abcdef"
LAST = (1 << 63) - 1


def lines(numbers: Sequence[int], level: str = "warning", **more: Any) -> list[LogLine]:
    return [LogLine(number, 1_790_000_000_000, level, "wayside_edge", f"line {number}", **more) for number in numbers]


def sent(said: Sequence[LogLine], device: str = "boiler-7") -> Item:
    item = received(device, encode_log(RUN, said), channel=Channel.LOG)
    assert isinstance(item, DeviceLog)
    return item


@pytest.fixture
def reading(pool: Pool, database: str) -> PostgresTenantReading:
    return reading_of(pool, database)


@pytest.fixture
async def client(pool: Pool, database: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    office = open_office(pool, tmp_path)
    desk, reading = office.desk, PostgresReading(pool, database)
    app = create_app(
        reading=reading,
        access=desk.sessions,
        live=PostgresLive(database),
        routers=[console_router(reading, desk)],
    )
    doors = await doors_of(office, await desk.keys.create("test"), await office.claim())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://wayside.example", auth=doors
    ) as opened:
        yield opened


async def test_a_line_counts_once_and_the_oldest_make_room(pool: Pool, reading: PostgresTenantReading) -> None:
    store = PostgresIngest(pool, "test", DeviceLimits(log_lines=10))
    await store.settle(
        [sent(lines(range(1, 9))), sent(lines(range(5, 13))), sent(lines([1], level="error"), "other-1")]
    )
    await store.settle([sent(lines(range(5, 13)))])
    found = await reading.log("boiler-7", level=10, before_id=LAST, limit=100)
    assert [line.number for line in found] == list(range(12, 2, -1))
    assert len(await reading.log("other-1", level=10, before_id=LAST, limit=100)) == 1
    async with pool.connection() as conn:
        await conn.execute("UPDATE device_log SET received_at = now() - interval '31 days' WHERE number < 8")
    await store.settle([sent(lines([13]))])
    found = await reading.log("boiler-7", level=10, before_id=LAST, limit=100)
    assert [line.number for line in found] == list(range(13, 7, -1))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", RejectCode.MALFORMED),
        (os.urandom(500), RejectCode.MALFORMED),
        (b'{"run": "x", "lines": []}', RejectCode.MALFORMED),
        (b'{"run": "0123456789abcdef", "lines": [[1]]}', RejectCode.MALFORMED),
        (b'{"run": "0123456789abcdef", "lines": [[-1, null, "info", "m", "t", null, {}]]}', RejectCode.MALFORMED),
        (b'{"run": "0123456789abcdef", "lines": [[1, 1e99, "info", "m", "t", null, {}]]}', RejectCode.MALFORMED),
        (b'{"run": "0123456789abcdef", "lines": [[1, null, "loud", "m", "t", null, {}]]}', RejectCode.MALFORMED),
        (b'{"run": "0123456789abcdef", "lines": [[1, null, "info", "m", "\\u0000", null, {}]]}', RejectCode.BAD_TEXT),
        (b'{"run": "0123456789abcdef", "lines": [' + b"[]," * 300 + b"[]]}", RejectCode.TOO_LARGE),
        (b" " * 300_000, RejectCode.TOO_LARGE),
        (encode_log(RUN, [LogLine(1, None, "info", "m", "x" * 5_000)]), RejectCode.MALFORMED),
        (encode_log(RUN, [LogLine(1, None, "info", "m", "x", "E", {"a": "y" * 5_000})]), RejectCode.MALFORMED),
    ],
)
async def test_a_hostile_log_is_a_dead_letter(
    pool: Pool, reading: PostgresTenantReading, payload: bytes, code: RejectCode
) -> None:
    item = received("boiler-7", payload, channel=Channel.LOG)
    assert isinstance(item, Garbage)
    await PostgresIngest(pool, "test", DeviceLimits()).settle([item])
    (letter,) = await reading.dead_letters("boiler-7", before_id=LAST, limit=10)
    assert letter.code == code.value
    assert await reading.log("boiler-7", level=10, before_id=LAST, limit=10) == []


async def test_the_api_gives_pages_from_a_level_on(pool: Pool, client: httpx.AsyncClient) -> None:
    store = PostgresIngest(pool, "test", DeviceLimits())
    said = [*lines([1, 2]), *lines([3], "error", event="SensorFailing", data={"sensor": "roof"}), *lines([4], "info")]
    await store.settle([sent([*said, LogLine(5, None, "warning", "wayside", "<b>without</b> a time")])])
    first = (await client.get("/api/v1/devices/boiler-7/log", params={"limit": 2, "level": "warning"})).json()
    assert [line["number"] for line in first["lines"]] == [5, 3]
    assert first["lines"][0]["time"] is None
    assert first["lines"][1] | {"id": 0, "received_at": ""} == {
        "id": 0,
        "run": RUN,
        "number": 3,
        "time": "2026-09-21T14:13:20.000000Z",
        "received_at": "",
        "level": "error",
        "module": "wayside_edge",
        "text": "line 3",
        "event": "SensorFailing",
        "data": {"sensor": "roof"},
    }
    second = (await client.get(first["next"])).json()
    assert [line["number"] for line in second["lines"]] == [2, 1]
    assert second["next"] is None
    assert (await client.get("/api/v1/devices/nobody/log")).status_code == 404
    assert (await client.get("/api/v1/devices/boiler-7/log", params={"level": "loud"})).status_code == 422
    page = (await client.get("/devices/boiler-7/log?level=warning", headers={"Accept": "text/html"})).text
    assert "&lt;b&gt;without&lt;/b&gt; a time" in page
    assert ">received</span> 2" in page
    assert "line 4" not in page


async def test_a_running_agents_warnings_reach_the_server_through_an_outage(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool, reading: PostgresTenantReading
) -> None:
    broker.stop()
    more = TRUSTED + outbox_table(tmp_path / "outbox.db") + '[log]\nsend = "warning"\n'
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as agent:
        await agent.says("cannot be reached")
        broker.start()
        async with server_side(broker, credentials.service(), pool):
            await agent.says("uplink up after")
            found: Sequence[Any] = ()
            async with asyncio.timeout(30):
                while not found:
                    found = await lines_of(reading)
    (line,) = found
    assert "cannot be reached" in line.text
    assert line.level == 30
    assert line.module == "wayside_edge.uplink.condition"
    assert line.at is not None
    assert abs((datetime.now(UTC) - line.at).total_seconds()) < 120


async def lines_of(reading: PostgresTenantReading) -> Sequence[Any]:
    """What there is of the device's log; nothing before the server knows the device."""
    names = [device.name for device in await reading.devices(after="", search="", limit=5)]
    return await reading.log(names[0], level=10, before_id=LAST, limit=100) if names else []
