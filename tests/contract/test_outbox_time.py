"""Nothing on a board expires by the wall clock, which may jump by decades in either direction."""

from pathlib import Path

import pytest

from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.session import Ack
from wayside_testkit.clock import ManualClock

YEAR_S = 365 * 86_400


@pytest.mark.parametrize("jump_s", [10 * YEAR_S, -50 * YEAR_S, 86_400, -86_400])
async def test_a_clock_that_jumps_takes_no_sample_with_it(tmp_path: Path, jump_s: int) -> None:
    clock = ManualClock()
    store = DurableOutbox(OutboxSettings(path=tmp_path / "outbox.db", free_disk_floor_mb=0, ballast_mb=0), clock)
    await store.open()
    stamp = ClockMap(clock.boottime_ns(), clock.wall_ns(), ClockState.SYNCED)
    for number in range(6):
        await store.append(ClosedBatch(1, bytes([number]) * 50, clock.boot_id(), stamp))
    epoch = (await store.status()).epoch.epoch
    await store.settle(Ack(epoch, 2, [(1, 2)]))
    clock.wall += jump_s * NS_PER_S
    await store.append(ClosedBatch(1, b"after the jump", clock.boot_id(), stamp))
    await store.settle(Ack(epoch, 3, [(3, 3)]))
    assert sorted((await store.status()).pending) == [4, 5, 6, 7]
    loaded = await store.load(range(1, 8))
    assert [row.seq for row in loaded.rows] == [1, 2, 3, 4, 5, 6, 7], "the delivered tail stays as well"
    assert not loaded.corrupt
    await store.close()
    again = DurableOutbox(OutboxSettings(path=tmp_path / "outbox.db", free_disk_floor_mb=0, ballast_mb=0), clock)
    assert sorted((await again.open()).pending) == [4, 5, 6, 7]
    await again.close()
