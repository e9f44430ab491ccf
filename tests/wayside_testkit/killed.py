"""An outbox as a killed agent leaves it, and what a later one makes of it."""

import shutil
from pathlib import Path
from typing import Any

from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch, StoredBatch
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.session import Ack
from wayside_testkit.clock import ManualClock

BOOT = b"boot-of-the-test"
CLOCK = ClockMap(5, 6, ClockState.UNSYNCED, 7)
KNOWN = ClockMap(50, 60, ClockState.SYNCED, 1)
CHECKPOINTED, ROWS, DELIVERED_UPTO = 5, 20, 3


def n_of(seq: int) -> int:
    return seq % 7 + 1


def body_of(seq: int) -> bytes:
    return bytes([seq]) * 900


def outbox(path: Path, **told: Any) -> DurableOutbox:
    settings = OutboxSettings(path=path, free_disk_floor_mb=0, ballast_mb=0)
    return DurableOutbox(settings, ManualClock(), **told)


async def leave_killed(folder: Path) -> Path:
    """`outbox.db` in `folder`: some batches in the file, more in the log beside it."""
    running = folder / "running" / "outbox.db"
    store = outbox(running)
    await store.open()
    for seq in range(1, CHECKPOINTED + 1):
        await store.append(ClosedBatch(n_of(seq), body_of(seq), BOOT, CLOCK))
    await store.close()
    store = outbox(running)
    await store.open()
    await store.note_clock(BOOT, KNOWN)
    for seq in range(CHECKPOINTED + 1, ROWS + 1):
        await store.append(ClosedBatch(n_of(seq), body_of(seq), BOOT, CLOCK))
    await store.settle(Ack((await store.status()).epoch.epoch, DELIVERED_UPTO, [(1, DELIVERED_UPTO)]))
    path = folder / "outbox.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{running}{suffix}", f"{path}{suffix}")
    await store.close()
    return path


async def everything(store: DurableOutbox) -> tuple[list[StoredBatch], dict[int, int]]:
    """The batches to send, and samples by declared number."""
    loaded = await store.load(sorted((await store.status()).pending))
    declared = {}
    for row in loaded.rows:
        if row.n == 0:
            envelope = Envelope("dev-1", row.epoch, row.first_seq, row.seq, row.before, 0, BOOT, CLOCK, None)
            for drop in decode_body(Message(envelope, row.body)).drops:
                declared.update({drop.first_seq + i: n for i, n in enumerate(drop.counts)})
    return [row for row in loaded.rows if row.n], declared
