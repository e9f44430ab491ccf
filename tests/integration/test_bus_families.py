"""A configuration with a bus of every family that is no I2C or SPI, read as a whole into an outbox."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

from wayside_edge.acquisition import Acquisition
from wayside_edge.config import parse
from wayside_edge.hal.buses import Buses
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import ClosedBatch
from wayside_shared.batch import Envelope, Message
from wayside_shared.columns import decode_body
from wayside_testkit.onewire import W1Tree, page, scratchpad
from wayside_testkit.sensing import MemoryOutbox

CONFIGURATION = """
[uplink]
host = "broker"
device = "board-1"

[batch]
max_age_s = 0.2

[[bus]]
name = "wire"
kind = "w1"
root = "{root}"

[[bus]]
name = "pins"
kind = "simulated-gpio"
lines = [{{ line = "4", pulses_hz = 50.0 }}, {{ line = "5", level = true }}, {{ line = "6" }}]

[[bus]]
name = "serial"
kind = "simulated-uart"
chips = [{{ model = "pms5003" }}]

[[bus]]
name = "line"
kind = "simulated-modbus"
blocks = [{{ table = "input", values = {{ 0 = 2305 }} }}]

[[sensor]]
name = "cellar"
kind = "ds18b20"
bus = "wire"
interval_s = 0.1
id = "28-000000000001"

[[sensor]]
name = "attic"
kind = "ds18b20"
bus = "wire"
interval_s = 0.1
id = "28-000000000002"

[[sensor]]
name = "flow"
kind = "pulse_counter"
bus = "pins"
interval_s = 0.1
line = "4"

[[sensor]]
name = "door"
kind = "digital_input"
bus = "pins"
interval_s = 0.1
line = "5"

[[sensor]]
name = "valve"
kind = "digital_output"
bus = "pins"
interval_s = 0.1
line = "6"
initial = true

[[sensor]]
name = "dust"
kind = "pms5003"
bus = "serial"
mode = "passive"
interval_s = 0.1

[[sensor]]
name = "meter"
kind = "modbus"
bus = "line"
interval_s = 0.1
registers = [{{ name = "voltage", table = "input", address = 0, scale = 0.1, unit = "V" }}]
"""

SERIES = {
    "cellar.temperature",
    "attic.temperature",
    "flow.total",
    "flow.rate",
    "door.state",
    "valve.state",
    "dust.pm1_0",
    "dust.pm2_5",
    "dust.pm10",
    "meter.voltage",
}


def names(batches: list[ClosedBatch]) -> set[str]:
    found: set[str] = set()
    for batch in batches:
        envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
        found.update(block.name for block in decode_body(Message(envelope, batch.body)).blocks)
    return found


async def test_every_family_is_read_in_a_lane_of_its_own(tmp_path: Path) -> None:
    tree = W1Tree(tmp_path)
    tree.bulk()
    tree.put("28-000000000001", page(scratchpad(8.5), 8500))
    tree.put("28-000000000002", page(scratchpad(31.0), 31_000))
    settings = parse(CONFIGURATION.format(root=tree.root), "edge.toml")
    outbox = MemoryOutbox()
    acquisition = Acquisition(
        settings,
        Buses(settings.bus),
        SystemClock(ClockSettings(trust_system=True)),
        outbox,
        backoff=lambda: Backoff(random.random, first_s=0.01, longest_s=0.02),
    )
    running = asyncio.create_task(acquisition.run())
    await outbox.until(lambda: names(outbox.batches) >= SERIES)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert names(outbox.batches) == SERIES
    counters = acquisition.counters
    assert counters.reads_failed == 0
    assert counters.produced == counters.accepted + acquisition.waiting
    assert not counters.refused
