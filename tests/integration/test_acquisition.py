"""Sensing as a whole: real drivers on simulated boards, in their threads, into an outbox."""

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wayside_edge import acquisition as acquisition_module
from wayside_edge.acquisition import Acquisition
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.health.events import Journal
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ABSOLUTE, ClosedBatch, Reading
from wayside_edge.registry import SensorSettings
from wayside_firmware.board import Fault, SimulatedBus, open_bus
from wayside_shared.batch import Envelope
from wayside_shared.batch import Message as BatchMessage
from wayside_shared.clock import ClockState
from wayside_shared.columns import Block, decode_body
from wayside_shared.quality import Quality
from wayside_testkit.sensing import MemoryOutbox, SwitchedBuses, agent_settings, sensor


def board(*addresses: int) -> SimulatedBus:
    return open_bus({"chips": [{"model": "bme280", "address": address, "seed": address} for address in addresses]})


def quick() -> Backoff:
    return Backoff(random.random, first_s=0.01, longest_s=0.02)


def chip(name: str, bus: str, address: int = 0x76) -> SensorSettings:
    return sensor(name, "bme280", interval_s=0.02, bus=bus, address=address)


class Rig:
    """An acquisition with everything around it."""

    def __init__(
        self, sensors: list[SensorSettings], boards: Mapping[str, SimulatedBus], batch: BatchSettings | None = None
    ) -> None:
        self.boards = boards
        self.buses = SwitchedBuses({name: (lambda bus=bus: bus) for name, bus in boards.items()})
        self.outbox = MemoryOutbox()
        self.journal = Journal()
        self.acquisition = Acquisition(
            agent_settings(sensors, batch=batch),
            self.buses,
            SystemClock(ClockSettings(trust_system=True)),
            self.outbox,
            journal=self.journal,
            backoff=quick,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.acquisition.run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            self.accounts()

    def accounts(self) -> None:
        counters = self.acquisition.counters
        assert counters.produced == counters.accepted + sum(counters.refused.values()) + self.acquisition.waiting
        assert counters.accepted == self.outbox.samples

    def series(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for batch in self.outbox.batches:
            for block in decoded(batch):
                found[block.name] = found.get(block.name, 0) + len(block)
        return found

    def has(self, event: str) -> bool:
        return self.journal.counts[event] > 0


def decoded(batch: ClosedBatch) -> list[Block]:
    envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
    return decode_body(BatchMessage(envelope, batch.body)).blocks


async def test_everything_read_is_accepted_or_waiting() -> None:
    rig = Rig([chip("roof", "a"), chip("cellar", "a", 0x77), sensor("host", "host")], {"a": board(0x76, 0x77)})
    async with rig.running():
        await rig.outbox.until(lambda: rig.outbox.samples > 60)
    await rig.acquisition.flush()
    rig.accounts()
    assert rig.acquisition.waiting == 0
    assert {"roof.temperature", "cellar.humidity", "host.memory_used"} <= set(rig.series())
    assert all(batch.clock.state is ClockState.SYNCED for batch in rig.outbox.batches)


async def test_an_unplugged_chip_slows_no_other_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig([chip("roof", "a"), chip("cellar", "b")], {"a": board(0x76), "b": board(0x76)})
    with caplog.at_level(logging.INFO):
        async with rig.running():
            await rig.outbox.until(lambda: "roof.humidity" in rig.series())
            rig.boards["a"].set_fault(0x76, Fault.ABSENT)
            await rig.outbox.until(lambda: rig.acquisition.counters.reads_failed > 5)
            before = rig.series()
            await rig.outbox.until(lambda: rig.series()["cellar.humidity"] > before["cellar.humidity"] + 10)
            rig.boards["a"].set_fault(0x76, Fault.NONE)
            await rig.outbox.until(lambda: rig.has("SensorRecovered"))
    assert [r.levelname for r in caplog.records if "roof" in r.message] == ["WARNING", "INFO"]
    assert "no chip answers at 0x76" in caplog.text
    blocks = [block for batch in rig.outbox.batches for block in decoded(batch)]
    marks = {(block.name, int(code)) for block in blocks if block.qualities is not None for code in block.qualities}
    assert marks == {(f"roof.{name}", Quality.ABSENT) for name in ("temperature", "pressure", "humidity")}
    assert "works again" in caplog.text


async def test_a_bus_that_is_missing_at_the_start_is_waited_for() -> None:
    rig = Rig([chip("roof", "a"), sensor("host", "host")], {"a": board(0x76)})
    rig.buses.missing.add("a")
    async with rig.running():
        await rig.outbox.until(lambda: rig.acquisition.counters.reads_failed > 3)
        assert rig.journal.counts["SensorFailing"] == 1
        rig.buses.missing.clear()
        await rig.outbox.until(lambda: "roof.temperature" in rig.series())


async def test_a_full_disk_keeps_batches_and_order(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig([sensor("host", "host", interval_s=0.005)], {}, BatchSettings(max_samples=20, max_age_s=0.05))
    with caplog.at_level(logging.INFO):
        async with rig.running():
            await rig.outbox.until(lambda: len(rig.outbox.batches) > 2)
            rig.outbox.refusing = True
            await rig.outbox.until(lambda: rig.outbox.refusals > 3)
            rig.outbox.refusing = False
            await rig.outbox.until(lambda: rig.acquisition.waiting < 40 and rig.has("OutboxAccepting"))
    assert rig.journal.counts["OutboxRefusing"] == 1
    times = [int(b.times_us[0]) for batch in rig.outbox.batches for b in decoded(batch) if b.name == "host.memory_used"]
    assert times == sorted(times)
    assert not rig.acquisition.counters.refused


async def test_memory_is_bounded_and_what_it_cannot_hold_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition_module, "MEMORY_SAMPLES", 50)
    rig = Rig([sensor("host", "host", interval_s=0.002)], {}, BatchSettings(max_samples=10, max_age_s=0.05))
    rig.outbox.refusing = True
    async with rig.running():
        await rig.outbox.until(lambda: rig.acquisition.counters.refused["memory_full"] > 50)
        assert rig.acquisition.waiting < 50 + 600  # with what is handed over before the first refusal is known
        assert rig.journal.counts["MemoryFull"] == 1
        rig.outbox.refusing = False
        await rig.outbox.until(lambda: rig.has("OutboxAccepting"))


async def test_what_stages_give_holds_up_no_sensor_and_takes_no_sample_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acquisition_module, "MEMORY_SAMPLES", 500)
    monkeypatch.setattr(acquisition_module, "MEMORY_COMPUTED", 100)
    rig = Rig([sensor("host", "host", interval_s=0.01)], {}, BatchSettings(max_samples=50, max_age_s=0.05))
    rig.outbox.refusing = True
    computed = [Reading("y", float(place), "1", age_ns=place) for place in range(100)]
    async with rig.running():
        await rig.outbox.until(lambda: rig.has("OutboxRefusing"))
        for _ in range(8):
            rig.acquisition._computed("stage", computed, rig.acquisition._clock.boottime_ns())
        assert rig.acquisition.counters.refused == {"memory_full": 700}
        produced = rig.acquisition.counters.produced
        await rig.outbox.until(lambda: rig.acquisition.counters.produced > produced + 100)
        assert rig.acquisition.counters.refused == {"memory_full": 700}
        rig.outbox.refusing = False
        await rig.outbox.until(lambda: rig.has("OutboxAccepting"))
        for _ in range(8):
            rig.acquisition._computed("stage", computed, rig.acquisition._clock.boottime_ns())
        rig.acquisition._govern()
        assert rig.acquisition._room.is_set()
        await rig.outbox.until(lambda: rig.series().get("stage.y", 0) == 900)


async def test_a_fast_recording_is_held_up_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition_module, "MEMORY_SAMPLES", 100)
    file = tmp_path / "r.csv"
    file.write_text("t,v\n" + "".join(f"{1_400_000_000 + i},{i}\n" for i in range(12_000)))
    columns = [{"column": "v", "name": "v", "unit": "1"}]
    options = {"file": str(file), "time_column": "t", "time_format": "unix_s", "speed": 1e9, "columns": columns}
    rig = Rig([sensor("r", "replay", **options)], {}, BatchSettings(max_samples=100, max_age_s=0.05))
    async with rig.running():
        await rig.outbox.until(lambda: rig.outbox.samples == 12_000)
    assert rig.series() == {"r.v": 12_000}
    assert all(batch.clock == ABSOLUTE for batch in rig.outbox.batches)
    assert not rig.acquisition.counters.refused


async def test_nan_is_refused_once_in_the_log_and_always_in_the_count(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    file.write_text("t,v\n1400000000,nan\n1400000000,nan\n1400000000,1\n")
    columns = [{"column": "v", "name": "v", "unit": "1"}]
    options = {"file": str(file), "time_column": "t", "time_format": "unix_s", "columns": columns}
    rig = Rig([sensor("r", "replay", **options)], {})
    async with rig.running():
        await rig.outbox.until(lambda: rig.outbox.samples == 1)
    assert rig.acquisition.counters.refused == {"non_finite": 2}
    assert rig.journal.counts["ReadingRefused"] == 1


async def test_a_stop_during_an_append_neither_loses_nor_repeats() -> None:
    rig = Rig([sensor("host", "host", interval_s=0.002)], {}, BatchSettings(max_samples=10))
    entered, go_on = asyncio.Event(), asyncio.Event()
    append = rig.outbox.append

    async def slow(batch: ClosedBatch) -> int:
        entered.set()
        await go_on.wait()
        return await append(batch)

    rig.outbox.append = slow  # type: ignore[method-assign]
    task = asyncio.create_task(rig.acquisition.run())
    await entered.wait()
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.outbox.samples == rig.acquisition.counters.accepted == 10
    await rig.acquisition.flush()
    rig.accounts()
    assert rig.acquisition.waiting == 0


async def test_what_a_stop_cannot_hand_over_is_counted() -> None:
    rig = Rig([sensor("host", "host")], {}, BatchSettings(max_age_s=100.0))
    async with rig.running():
        while not rig.acquisition.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    rig.outbox.refusing = True
    await rig.acquisition.flush()
    assert rig.acquisition.counters.refused["stopped"] > 0
    rig.accounts()


async def test_no_thread_is_left(tmp_path: Path) -> None:
    rig = Rig([chip("roof", "a"), sensor("host", "host")], {"a": board(0x76)})
    async with rig.running():
        await rig.outbox.until(lambda: rig.outbox.samples > 10)
    for thread in threading.enumerate():
        if thread.name.startswith("lane "):
            thread.join(5)
            assert not thread.is_alive()
