"""A process that appends to an outbox as fast as it can and tells, elsewhere, what was accepted and when.

`python -m faults.writer OUTBOX JOURNAL`
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from faults.agent import close
from faults.ledger import Batch
from faults.power import RECORD
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox


async def run(path: Path, journal: Path) -> None:
    """Append until the disk is gone."""
    clock = SystemClock(ClockSettings(trust_system=True))
    store = DurableOutbox(OutboxSettings(path=path, free_disk_floor_mb=0, ballast_mb=0), clock)
    await store.open()
    handle = os.open(journal, os.O_WRONLY | os.O_APPEND)
    first = 0
    while True:
        batch = Batch(first, 10)
        first += batch.count
        appended = await store.append(close(batch, clock))
        os.write(handle, RECORD.pack(appended.added[-1], time.monotonic_ns()))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
