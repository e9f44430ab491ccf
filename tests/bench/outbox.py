"""Samples a second that the outbox makes durable, one fsync a batch, on this disk."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median

from bench.batches import BOOT_NS, columns
from bench.figures import Figure, Size, middle, progress, within
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch
from wayside_shared.batch import encode_body
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_testkit.clock import LiveClock

FOLDER = Path(__file__).resolve().parents[2] / "bench"
"""In the repository's own file system; a folder in memory would make fsync too good."""


def measure(group: str, size: Size) -> Iterator[Figure]:
    """With batches of 10 s, as the agent makes them when not told otherwise, then of 1 s; encoding included."""
    FOLDER.mkdir(exist_ok=True)
    rounds = size.of(5, 1)
    for seconds, name in ((10, "outbox_samples_per_s"), (1, "outbox_small_samples_per_s")):
        count = size.of(400, 20)
        rates = [asyncio.run(_rate(count, seconds)) for _ in range(rounds)]
        fsyncs = [_fsyncs(size.of(400, 20)) for _ in range(rounds)]
        progress(f"outbox, batches of {seconds} s: {middle(rates)} samples/s; bare fsync {middle(fsyncs)}/s")
        samples = seconds * 8
        limit = f"write and fsync of a bare file, {samples} samples each: {shown_rate(fsyncs, samples)}"
        how = f"{middle(rates)}; batches of {samples}; {limit}"
        if name == "outbox_samples_per_s":
            yield within(group, name, median(rates), "samples/s", how)
        else:
            yield Figure(group, name, median(rates), "samples/s", how, median(rates) / (median(fsyncs) * samples))


def shown_rate(fsyncs: list[float], samples: int) -> str:
    """Samples a second that as many fsyncs would allow."""
    return f"{median(fsyncs) * samples:,.0f} samples/s"


async def _rate(count: int, seconds: int) -> float:
    random = Random(1)
    batches = [columns(random, seconds, BOOT_NS + place * seconds * NS_PER_S) for place in range(count)]
    clock = ClockMap(BOOT_NS, time.time_ns(), ClockState.SYNCED)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="outbox-") as folder:
        outbox = DurableOutbox(OutboxSettings(path=Path(folder) / "outbox.db", ballast_mb=0), LiveClock())
        await outbox.open()
        began = time.monotonic()
        for batch in batches:
            await outbox.append(ClosedBatch(seconds * 8, encode_body(batch), bytes(16), clock))
        took_s = time.monotonic() - began
        await outbox.close()
    return count * seconds * 8 / took_s


def _fsyncs(count: int) -> float:
    """How often a second this disk takes a kilobyte for good."""
    with tempfile.NamedTemporaryFile(dir=FOLDER) as file:
        began = time.monotonic()
        for _ in range(count):
            file.write(bytes(1024))
            file.flush()
            os.fsync(file.fileno())
        return count / (time.monotonic() - began)
