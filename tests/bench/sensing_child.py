"""The agent's sensing half in a process of its own: reads what a TOML file names into a real outbox, and says how."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from wayside_edge.acquisition import Acquisition
from wayside_edge.config import load
from wayside_edge.hal.buses import Buses
from wayside_edge.hal.clock import SystemClock
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, ClosedBatch
from wayside_firmware.board import SimulatedBus, build
from wayside_firmware.board.chips.mpu6050 import Mpu6050Chip
from wayside_shared.batch import Envelope, Message
from wayside_shared.columns import decode_body
from wayside_shared.quality import Quality

WARM_UP_S = 2.0
Make = Callable[[build.BoardSettings], SimulatedBus]


class _Kept:
    """The outbox, and the batches that went into it."""

    def __init__(self, store: DurableOutbox) -> None:
        self.store = store
        self.batches: list[ClosedBatch] = []

    async def append(self, batch: ClosedBatch) -> Appended:
        self.batches.append(batch)
        return await self.store.append(batch)


async def sense(config: Path, seconds: float) -> dict[str, object]:
    """Read for `seconds`, after a warm-up, and tell what became of it."""
    boards: list[SimulatedBus] = []
    build.build_i2c = partial(_remembered, build.build_i2c, boards)
    settings = load(config)
    clock = SystemClock(settings.clock)
    store = DurableOutbox(settings.outbox, clock)
    await store.open()
    kept = _Kept(store)
    acquisition = Acquisition(settings, Buses(settings.bus), clock, kept)
    task = asyncio.create_task(acquisition.run())
    await asyncio.sleep(WARM_UP_S)
    counters = acquisition.counters
    before = (counters.reads_ok, counters.ticks_missed, counters.reads_failed)
    began_s, spent_s = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took_s, spent_s = time.monotonic() - began_s, time.process_time() - spent_s
    after = (counters.reads_ok, counters.ticks_missed, counters.reads_failed)
    task.cancel()
    await asyncio.wait([task])
    await acquisition.flush()
    await store.close()
    reads, missed, failed = (b - a for a, b in zip(before, after, strict=True))
    late = sorted(lateness.percentile_ns(0.99) for lateness in acquisition.lateness.values())
    return {
        "cpu_pct": spent_s / took_s * 100,
        "reads": reads,
        "missed": missed,
        "failed": failed,
        "took_s": took_s,
        "late_p99_ms": late[-1] / 1e6,
        "late_p99_median_ms": late[len(late) // 2] / 1e6,
        "fifo": _bursts(kept.batches) | _collected(boards),
    }


def _bursts(batches: list[ClosedBatch]) -> dict[str, float]:
    """The samples of a FIFO's first axis: how many, over how long, how uneven, and how often some were lost."""
    times: list[int] = []
    overruns = 0
    for batch in batches:
        envelope = Envelope("d-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
        for block in decode_body(Message(envelope, batch.body)).blocks:
            if block.name.endswith("acceleration_x"):
                if block.qualities is None:
                    times.extend(block.times_us.tolist())
                else:
                    overruns += int((block.qualities == Quality.OVERRUN).sum())
    times.sort()
    gaps = [b - a for a, b in pairwise(times)]
    span_s = (times[-1] - times[0]) / 1e6 if gaps else 0.0
    return {"samples": len(times), "span_s": span_s, "widest_gap_ms": max(gaps, default=0) / 1e3, "overruns": overruns}


def _remembered(make: Make, boards: list[SimulatedBus], board: build.BoardSettings) -> SimulatedBus:
    boards.append(make(board))
    return boards[-1]


def _collected(boards: list[SimulatedBus]) -> dict[str, int]:
    """What the accelerometers' FIFOs took in and still hold, in samples of three axes."""
    chips = [chip for board in boards for chip in board.chips.values() if isinstance(chip, Mpu6050Chip)]
    return {"collected": sum(chip.collected for chip in chips) // 6, "unread": sum(chip.unread for chip in chips) // 6}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sense(Path(sys.argv[1]), float(sys.argv[2])))))
