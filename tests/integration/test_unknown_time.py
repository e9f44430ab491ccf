"""A board that does not know the time: it connects at once, and what has no time waits for it."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wayside_edge.outbox import salvage
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch
from wayside_server.storage.database import Pool
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_testkit.broker import Broker
from wayside_testkit.clock import ManualClock
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]

YEAR_2000_NS = 946_684_800 * NS_PER_S + 77 * NS_PER_S
TRUE_NS = 1_790_000_000 * NS_PER_S


@pytest.fixture
def later_broker(tmp_path: Path, credentials: CredentialsFactory) -> Iterator[Broker]:
    """A broker whose certificate is not valid yet by this machine's clock, as to a board that is behind."""
    folder = tmp_path / "later"
    folder.mkdir()
    server = credentials.server(now=datetime.now(UTC) + timedelta(days=400))
    broker = Broker(folder, credentials, server=server)
    broker.start()
    yield broker
    broker.stop()


async def said_hello(pool: Pool, clock_state: int) -> None:
    """Returns once the server knows the device's clock as such."""
    async with asyncio.timeout(30):
        while True:
            async with pool.connection() as connection:
                found = await (await connection.execute("SELECT clock_state FROM device")).fetchall()
            if found == [(clock_state,)]:
                return
            await asyncio.sleep(0.05)


async def stored(pool: Pool) -> list[tuple[float, int]]:
    """Values with their times in UTC seconds."""
    async with pool.connection() as connection:
        query = "SELECT value, extract(epoch FROM ts)::bigint FROM sample ORDER BY value"
        return [(value, at) for value, at in await (await connection.execute(query)).fetchall()]  # type: ignore[misc]


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_board_that_is_behind_connects_to_a_broker_whose_certificate_is_newer(
    tmp_path: Path, later_broker: Broker, credentials: CredentialsFactory, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(wall=YEAR_2000_NS, is_synced=False)
    who = credentials.device("boiler-7")
    with caplog.at_level(logging.INFO):
        async with edge_side(tmp_path / "outbox.db", later_broker, who, clock):
            await logged(caplog, "uplink up")
        caplog.clear()
        clock.is_synced = True
        async with edge_side(tmp_path / "outbox.db", later_broker, who, clock):
            await logged(caplog, "not yet valid")


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Returns once a line with `text` was logged."""
    async with asyncio.timeout(30):
        while text not in caplog.text:  # noqa: ASYNC110 - log lines wake nobody
            await asyncio.sleep(0.05)


async def test_hello_comes_before_the_time_and_samples_after_it(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    clock = ManualClock(wall=YEAR_2000_NS, is_synced=False)
    who = credentials.device("boiler-7")
    async with (
        server_side(broker, credentials.service(), pool),
        edge_side(tmp_path / "outbox.db", broker, who, clock) as edge,
    ):
        await edge.accept([1.0])
        await said_hello(pool, ClockState.UNSYNCED)
        await edge.delivered()
        assert sorted((await edge.outbox.status()).pending) == [1], "it waits for the time"
        assert await stored(pool) == []
        clock.wall, clock.is_synced = TRUE_NS, True
        now = ClockMap(clock.boottime_ns(), clock.wall_ns(), ClockState.SYNCED)
        await edge.outbox.note_clock(clock.boot_id(), now)
        edge.uplink.release()
        await edge.delivered()
        await said_hello(pool, ClockState.SYNCED)
        assert await stored(pool) == [(1.0, TRUE_NS // NS_PER_S)]


@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_certificate_that_ended_before_the_last_known_time_is_refused(
    tmp_path: Path, credentials: CredentialsFactory, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "outdated"
    folder.mkdir()
    broker = Broker(folder, credentials, server=credentials.server(now=datetime.now(UTC) - timedelta(days=200)))
    broker.start()
    ended = datetime.now(UTC) - timedelta(days=110)
    try:
        clock = ManualClock(wall=int((ended.timestamp() + 86_400) * NS_PER_S))
        who = credentials.device("boiler-7")
        path = tmp_path / "outbox.db"
        async with edge_side(path, broker, who, clock) as edge:
            await edge.accept([1.0])
        clock.boot, clock.wall, clock.is_synced = b"the-dark-boot---", YEAR_2000_NS, False
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            async with edge_side(path, broker, who, clock):
                await logged(caplog, "before the last time this board knew")
    finally:
        broker.stop()


async def test_a_boot_that_never_knew_the_time_is_bracketed_and_counted_as_such(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who, path, hour = credentials.device("boiler-7"), tmp_path / "outbox.db", 3_600 * NS_PER_S
    clock = ManualClock(wall=TRUE_NS)
    async with server_side(broker, credentials.service(), pool):
        async with edge_side(path, broker, who, clock) as edge:
            await edge.accept([1.0])
            await edge.delivered()
        clock.boot, clock.boot_ns, clock.wall, clock.is_synced = b"the-dark-boot---", hour, YEAR_2000_NS, False
        async with edge_side(path, broker, who, clock) as edge:
            await edge.accept([2.0])
            await edge.delivered()
        clock.boot, clock.boot_ns, clock.wall, clock.is_synced = b"the-boot-after--", hour, TRUE_NS + 6 * hour, True
        async with edge_side(path, broker, who, clock) as edge:
            now = ClockMap(clock.boottime_ns(), clock.wall_ns(), ClockState.SYNCED)
            await edge.outbox.note_clock(clock.boot_id(), now)
            await edge.accept([3.0])
            await edge.delivered()
    began_s = TRUE_NS // NS_PER_S
    async with pool.connection() as connection:
        query = "SELECT sum(stored), sum(estimated), max(estimate_err_ms), sum(unsynced) FROM stream"
        assert await (await connection.execute(query)).fetchone() == (3, 1, 2 * 3_600_000, 0)
    # It began after the last time known, and ended after an hour, before the next boot began: 0 to 4 hours later.
    assert await stored(pool) == [(1.0, began_s), (2.0, began_s + 3 * 3_600), (3.0, began_s + 6 * 3_600)]


async def test_estimates_stay_when_a_damaged_file_is_salvaged(tmp_path: Path) -> None:
    clock = ManualClock(wall=TRUE_NS)
    settings = OutboxSettings(path=tmp_path / "outbox.db", free_disk_floor_mb=0, ballast_mb=0)
    store = DurableOutbox(settings, clock)
    await store.append(ClosedBatch(1, b"known", b"boot-of-the-test", ClockMap(5, TRUE_NS, ClockState.SYNCED)))
    await store.append(ClosedBatch(1, b"dark", b"the-dark-boot---", ClockMap(5, 5, ClockState.UNSYNCED)))
    await store.close()
    salvage.salvage(settings.path, 1 << 30)
    again = DurableOutbox(settings, clock)
    assert (await again.open()).known_ns == TRUE_NS
    await again.note_clock(b"the-boot-after--", ClockMap(0, TRUE_NS + 2 * NS_PER_S, ClockState.SYNCED))
    (dark,) = (await again.load([2])).rows
    assert dark.clock.state is ClockState.ESTIMATED
    assert dark.clock.err_ms == 1_000
    await again.close()
