"""From an accepted batch to a committed row through a real broker and a real database."""

import asyncio
from pathlib import Path

from wayside_server.storage.database import Pool
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]


async def stored(pool: Pool) -> list[float]:
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT value FROM sample ORDER BY value")).fetchall()
    return [row[0] for row in rows]  # type: ignore[misc]


async def test_what_is_accepted_is_stored_and_leaves_the_outbox(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    async with server_side(broker, credentials.service(), pool), edge_side(tmp_path / "outbox.db", broker, who) as edge:
        for i in range(20):
            await edge.accept([i + 0.25, i + 0.5])
        await edge.delivered()
        status = await edge.outbox.status()
    assert await stored(pool) == [i + f for i in range(20) for f in (0.25, 0.5)]
    assert not status.pending
    assert status.counters.pending_from == status.counters.next_seq == 21


async def test_an_agent_that_starts_before_everything_else_loses_nothing(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    broker.stop()
    async with edge_side(tmp_path / "outbox.db", broker, credentials.device("boiler-7")) as edge:
        for i in range(5):
            await edge.accept([float(i)])
        broker.start()
        async with server_side(broker, credentials.service(), pool):
            await edge.delivered()
            broker.restart()
            await edge.accept([5.0])
            await edge.delivered()
    assert await stored(pool) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_restart_of_the_agent_takes_up_where_it_was(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    async with edge_side(tmp_path / "outbox.db", broker, who) as edge:
        for i in range(5):
            await edge.accept([float(i)])
    async with server_side(broker, credentials.service(), pool), edge_side(tmp_path / "outbox.db", broker, who) as edge:
        await edge.accept([5.0])
        await edge.delivered()
    assert await stored(pool) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_restored_card_loses_nothing_and_hides_nothing(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    path, image = tmp_path / "outbox.db", tmp_path / "image.db"
    async with server_side(broker, credentials.service(), pool):
        async with edge_side(path, broker, who) as edge:
            await edge.accept([1.0])
            await edge.delivered()
        image.write_bytes(path.read_bytes())
        async with edge_side(path, broker, who) as edge:
            for value in (2.0, 3.0, 4.0):
                await edge.accept([value])
            await edge.delivered()
        path.unlink()
        path.with_suffix(".db-wal").unlink(missing_ok=True)
        path.with_suffix(".db-shm").unlink(missing_ok=True)
        path.write_bytes(image.read_bytes())
        async with edge_side(path, broker, who) as edge:
            for value in (5.0, 6.0):
                await edge.accept([value])
            await edge.delivered()
    assert await stored(pool) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    async with pool.connection() as connection:
        incidents = await (await connection.execute("SELECT DISTINCT kind FROM incident")).fetchall()
    assert incidents == [("card restored or cloned",)]


async def test_a_server_restored_from_a_backup_gets_its_loss_again(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    async with edge_side(tmp_path / "outbox.db", broker, who) as edge:
        async with server_side(broker, credentials.service(), pool):
            for value in (1.0, 2.0, 3.0):
                await edge.accept([value])
            await edge.delivered()
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM ingest_batch WHERE seq > 1")
            await connection.execute("DELETE FROM sample WHERE value > 1")
            await connection.execute("UPDATE stream SET contiguous_upto = 1, max_seq = 1, stored = 1, accepted = 1")
        async with server_side(broker, credentials.service(), pool):
            await edge.accept([4.0])
            await edge.delivered()
            async with asyncio.timeout(20):
                while await stored(pool) != [1.0, 2.0, 3.0, 4.0]:
                    await edge.delivered()
                    await asyncio.sleep(0.05)
