"""The outbox on disks that are full, read-only or taken: one clear line, nothing accepted is lost, and it recovers."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from wayside_edge.errors import ConfigError, OutboxError
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch
from wayside_server.storage.database import Pool
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.session import DIGEST_BYTES, Ack
from wayside_testkit.broker import Broker
from wayside_testkit.clock import LiveClock
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side
from wayside_testkit.disks import Disk, small_disk

CLOCK = ClockMap(5, 6, ClockState.SYNCED, 7)
FULL = "the disk is full; free some space, collection goes on by itself"


def closed(number: int) -> ClosedBatch:
    return ClosedBatch(1, number.to_bytes(4, "big") * 2048, b"boot-of-the-test", CLOCK)


def settings(path: Path, ballast_mb: int = 2) -> OutboxSettings:
    return OutboxSettings(
        path=path, quota_mb=8, free_disk_floor_mb=0, ballast_mb=ballast_mb, tail_hours=0.0, tail_share=0.0
    )


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    with small_disk(tmp_path / "disk", 6144) as mounted:
        yield mounted


async def fill(store: DurableOutbox) -> list[int]:
    """Append until the disk refuses; returns what was accepted."""
    accepted: list[int] = []
    while True:
        with suppress(OutboxError):
            accepted.extend((await store.append(closed(len(accepted)))).added)
            continue
        return accepted


async def confirm(store: DurableOutbox, first: int, last: int) -> list[int]:
    epoch = (await store.status()).epoch.epoch
    digests = b"".join(hashlib.sha256(closed(seq - 1).body).digest()[:DIGEST_BYTES] for seq in range(first, last + 1))
    return list((await store.settle(Ack(epoch, last, [(first, last)], digests=digests))).delivered)


async def test_a_full_disk_refuses_new_samples_and_still_lets_old_ones_go(disk: Disk) -> None:
    store = DurableOutbox(settings(disk.path / "outbox.db"), LiveClock())
    await store.open()
    accepted = await fill(store)
    assert len(accepted) > 50
    with pytest.raises(OutboxError, match=FULL) as again:
        await store.append(closed(len(accepted)))
    assert "\n" not in str(again.value)
    status = await store.status()
    assert sorted(status.pending) == accepted, "what was accepted is still there"
    for first in range(1, len(accepted) + 1, 32):
        last = min(first + 31, len(accepted))
        assert await confirm(store, first, last) == list(range(first, last + 1)), "the ballast makes the room"
    assert not (await store.status()).pending
    await store.append(closed(len(accepted)))
    await store.close()


async def test_a_disk_that_others_filled_is_used_again_when_it_has_space(disk: Disk) -> None:
    store = DurableOutbox(settings(disk.path / "outbox.db"), LiveClock())
    await store.open()
    for number in range(5):
        await store.append(closed(number))
    disk.fill()
    await fill(store)
    disk.clear()
    await store.append(closed(99))
    assert {1, 2, 3, 4, 5} <= set((await store.status()).pending)
    await store.close()


async def test_a_read_only_disk_is_named_and_used_when_it_can_be_written(disk: Disk) -> None:
    store = DurableOutbox(settings(disk.path / "outbox.db"), LiveClock())
    await store.open()
    await store.append(closed(0))
    await store.close()
    disk.remount("ro")
    store = DurableOutbox(settings(disk.path / "outbox.db"), LiveClock())
    for _ in range(2):
        with pytest.raises(OutboxError, match=r"[Rr]ead-only") as refused:
            await store.open()
        assert "\n" not in str(refused.value)
    disk.remount("rw")
    assert sorted((await store.open()).pending) == [1]
    await store.append(closed(1))
    await store.close()


async def test_an_outbox_that_cannot_be_opened_yet_opens_later(disk: Disk) -> None:
    disk.fill()
    store = DurableOutbox(settings(disk.path / "new" / "outbox.db"), LiveClock())
    with pytest.raises(OutboxError, match=r"full|No space"):
        await store.open()
    disk.clear()
    assert not (await store.open()).pending
    await store.append(closed(0))
    await store.close()


async def test_a_second_agent_on_the_same_outbox_is_refused(tmp_path: Path) -> None:
    first = DurableOutbox(settings(tmp_path / "outbox.db", 0), LiveClock())
    second = DurableOutbox(settings(tmp_path / "outbox.db", 0), LiveClock())
    await first.open()
    with pytest.raises(ConfigError, match="in use by another agent; stop that one"):
        await second.open()
    await first.append(closed(0))
    await first.close()
    assert sorted((await second.open()).pending) == [1]
    await second.close()


async def test_what_was_accepted_before_the_disk_was_full_is_delivered_and_samples_flow_again(
    disk: Disk, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    options = {"quota_mb": 8, "ballast_mb": 2, "tail_share": 0.0, "tail_hours": 0.0}
    async with edge_side(disk.path / "outbox.db", broker, who, **options) as edge:
        accepted = [float(i) for i in range(20)]
        for value in accepted:
            await edge.accept([value])
        disk.fill()
        with suppress(OutboxError):
            while True:
                await edge.accept([len(accepted) + 0.5])
                accepted.append(len(accepted) + 0.5)
        async with server_side(broker, credentials.service(), pool):
            await edge.delivered()
            disk.clear()
            await edge.accept([-1.0])
            await edge.delivered()
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT value FROM sample ORDER BY value")).fetchall()
    assert [row[0] for row in rows] == [-1.0, *accepted]  # type: ignore[index]
