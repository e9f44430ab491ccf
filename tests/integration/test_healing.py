"""Drivers that never come back and lanes that crash: found, begun anew alone, tried again later, and nothing lost."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from wayside_edge import acquisition as acquisition_module
from wayside_edge import registry
from wayside_edge.acquisition import Acquisition, lanes
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.hal.i2c import SmbusLike
from wayside_edge.health import recovery
from wayside_edge.health.events import Journal
from wayside_edge.health.supervisor import Supervisor
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import BusProvider, ClosedBatch, Driver, DriverKind, Reading
from wayside_edge.registry import SensorSettings
from wayside_firmware.board import open_bus
from wayside_shared.batch import Envelope, Message
from wayside_shared.columns import Block, decode_body
from wayside_shared.quality import Quality
from wayside_testkit.hanging import HangingBus
from wayside_testkit.sensing import MemoryOutbox, SwitchedBuses, agent_settings, sensor


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines and pauses that a test can wait for."""
    monkeypatch.setattr(lanes, "STALL_S", 0.1)
    monkeypatch.setattr(acquisition_module, "LOOK_S", 0.02)
    monkeypatch.setattr(recovery, "ASIDE_S", 0.2)
    monkeypatch.setattr(lanes, "LONGEST_S", 0.4)
    monkeypatch.setattr(recovery, "RESTART_S", 0.01)


def chip(name: str, bus: str, address: int = 0x76, deadline_s: float = 0.1) -> SensorSettings:
    made = sensor(name, "bme280", interval_s=0.02, bus=bus, address=address)
    return replace(made, deadline_s=deadline_s)


class Rig:
    """An acquisition over buses that hang."""

    def __init__(self, sensors: Sequence[SensorSettings], buses: Mapping[str, Callable[[], SmbusLike]]) -> None:
        self.outbox = MemoryOutbox()
        self.journal = Journal()
        self.supervisor = Supervisor()
        self.acquisition = Acquisition(
            agent_settings(sensors),
            SwitchedBuses(buses),
            SystemClock(ClockSettings(trust_system=True)),
            self.outbox,
            journal=self.journal,
            backoff=lambda: Backoff(lambda: 0.0, first_s=0.01, longest_s=0.02),
            supervisor=self.supervisor,
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
            await self.acquisition.flush()
        counters = self.acquisition.counters
        assert counters.produced == counters.accepted == self.outbox.samples

    def values(self, series: str) -> list[float]:
        found: list[float] = []
        for batch in self.outbox.batches:
            for block in _blocks(batch):
                if block.name == series and block.numbers is not None:
                    found += block.numbers.tolist()
        return found

    def marks(self, series: str) -> set[int]:
        blocks = (block for batch in self.outbox.batches for block in _blocks(batch) if block.name == series)
        return {code for block in blocks if block.qualities is not None for code in block.qualities}

    async def until(self, condition: Callable[[], bool]) -> None:
        await self.outbox.until(condition)


def _blocks(batch: ClosedBatch) -> Sequence[Block]:
    envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
    return decode_body(Message(envelope, batch.body)).blocks


class Wires:
    """An I2C bus of which each handle that is opened is one more `HangingBus` over the same chips."""

    def __init__(self, *addresses: int, stuck: int) -> None:
        self._bus = open_bus({"chips": [{"model": "bme280", "address": address} for address in addresses]})
        self._address = stuck
        self._stuck = False
        self.handles: list[HangingBus] = []

    def __call__(self) -> SmbusLike:
        handle = HangingBus(self._bus, self._address)
        if self._stuck:
            handle.stick()
        self.handles.append(handle)
        return handle

    def stick(self) -> None:
        self._stuck = True
        for handle in self.handles:
            handle.stick()

    def heal(self, *, free: bool) -> None:
        """New handles work; those that hang go on if they are `free`."""
        self._stuck = False
        if free:
            self.free()

    def free(self) -> None:
        for handle in self.handles:
            handle.let_go()


@pytest.mark.parametrize("free", [True, False])
async def test_a_sensor_that_hangs_is_set_aside_alone_and_comes_back(free: bool) -> None:
    wires = Wires(0x76, 0x77, stuck=0x76)
    other = open_bus({"chips": [{"model": "bme280"}]})
    rig = Rig([chip("stuck", "a"), chip("beside", "a", 0x77), chip("other", "b")], {"a": wires, "b": lambda: other})
    async with rig.running():
        await rig.until(lambda: len(rig.values("stuck.humidity")) > 3)
        wires.stick()
        await rig.until(lambda: Quality.NOT_READY in rig.marks("stuck.humidity"))
        assert rig.acquisition.set_aside == ["stuck"]
        before = {name: len(rig.values(f"{name}.humidity")) for name in ("beside", "other")}
        await rig.until(lambda: all(len(rig.values(f"{n}.humidity")) > before[n] + 10 for n in before))
        assert rig.journal.counts["SensorStalled"] >= 1
        wires.heal(free=free)
        good = len(rig.values("stuck.humidity"))
        await rig.until(lambda: len(rig.values("stuck.humidity")) > good + 3)
        assert rig.journal.counts["SensorRecovered"] == 1
        assert rig.acquisition.set_aside == []
    wires.free()
    assert rig.supervisor.look(0.0).alive


async def test_a_bus_that_hangs_at_every_sensor_costs_two_threads_and_not_one_a_sensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "LONGEST_S", 60.0)
    monkeypatch.setattr(recovery, "ASIDE_S", 60.0)
    release = threading.Event()

    class Dead:
        def i2c_rdwr(self, *_: object) -> None:
            release.wait()

        def close(self) -> None:
            pass

    sensors = [chip(f"s{address:x}", "a", address) for address in (0x76, 0x77)]
    third = replace(sensor("third", "tmp102", 0.02, "a", address=0x48), deadline_s=0.1)
    rig = Rig([*sensors, third, sensor("host", "host")], {"a": Dead})
    async with rig.running():
        await rig.until(lambda: rig.journal.counts["SensorQuarantined"] == 3)
        assert rig.journal.counts["SensorStalled"] == 2
        assert sorted(rig.acquisition.set_aside) == ["s76", "s77", "third"]
        seen = len(rig.values("host.memory_used"))
        await rig.until(lambda: len(rig.values("host.memory_used")) > seen + 5)
    release.set()
    assert rig.supervisor.look(0.0).alive


async def test_an_agent_of_which_too_much_hangs_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STUCK", 1)
    wires = [Wires(0x76, stuck=0x76), Wires(0x76, stuck=0x76)]
    rig = Rig([chip("a", "a"), chip("b", "b"), sensor("host", "host")], {"a": wires[0], "b": wires[1]})
    async with rig.running():
        await rig.until(lambda: min(len(rig.values(f"{name}.humidity")) for name in "ab") > 1)
        for each in wires:
            each.stick()
        await rig.until(lambda: not rig.supervisor.look(0.0).alive)
        assert "drivers do not come back, the last is that of sensor" in rig.supervisor.look(0.0).cause
    for each in wires:
        each.free()


class Crashing:
    """A driver that takes its thread down: an exit, or what extensions raise beside exceptions, is no `Exception`."""

    crashes: ClassVar[int] = 0

    def __init__(self) -> None:
        self.reads = count()

    def start(self) -> None:
        pass

    def read(self) -> Sequence[Reading]:
        if Crashing.crashes and next(self.reads) == 2:
            Crashing.crashes -= 1
            raise SystemExit("taking all down")
        return [Reading("v", 1.0, "1")]

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _NoSettings:
    pass


def _kind(build: Callable[[], Driver]) -> DriverKind:
    def make(_settings: object, _bus: str, _buses: BusProvider) -> Driver:
        return build()

    return DriverKind("a driver of tests", _NoSettings, make)


@pytest.mark.parametrize(("crashes", "quarantines"), [(1, 0), (6, 2)])
async def test_a_lane_that_crashes_is_begun_anew_alone(
    monkeypatch: pytest.MonkeyPatch, crashes: int, quarantines: int
) -> None:
    monkeypatch.setattr(Crashing, "crashes", crashes)
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda name: _kind(Crashing) if name == "crashing" else load(name))
    rig = Rig([sensor("wild", "crashing", 0.01), sensor("host", "host")], {})
    async with rig.running():
        await rig.until(lambda: rig.journal.counts["LaneCrashed"] == crashes and Crashing.crashes == 0)
        seen = len(rig.values("wild.v"))
        await rig.until(lambda: len(rig.values("wild.v")) > seen + 5)
        assert rig.journal.counts["SensorQuarantined"] == quarantines
        assert rig.journal.counts["SensorRetried"] == crashes


async def test_a_recording_that_hangs_goes_on_where_it_was_read_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what the outbox does not have yet, because it is still in memory, is not read again."""
    file = tmp_path / "recording.csv"
    rows = 400
    file.write_text("time,v\n" + "".join(f"{1_700_000_000 + row / 1000:.3f},{row}\n" for row in range(rows)))
    hanging = threading.Event()
    release = threading.Event()
    load = registry.load

    def hang_once(kind: DriverKind | None) -> DriverKind | None:
        if kind is None or hanging.is_set():
            return kind

        def build(settings: object, bus: str, buses: BusProvider) -> Driver:
            driver = kind.build(settings, bus, buses)
            read = driver.read
            reads = count()

            def reading() -> object:
                if next(reads) == 3 and not hanging.is_set():
                    hanging.set()
                    release.wait()
                return read()

            driver.read = reading  # type: ignore[method-assign,assignment]
            return driver

        return DriverKind(kind.title, kind.settings, build, quantities=kind.quantities)

    monkeypatch.setattr(registry, "load", lambda name: hang_once(load(name)) if name == "replay" else load(name))
    made = sensor(
        "played",
        "replay",
        interval_s=0.02,
        file=str(file),
        time_column="time",
        time_format="unix_s",
        columns=[{"name": "v", "column": "v", "unit": "1"}],
    )
    rig = Rig([replace(made, deadline_s=0.1), sensor("host", "host")], {})
    async with rig.running():
        await rig.until(lambda: len(rig.values("played.v")) >= rows)
        assert hanging.is_set()
        assert rig.journal.counts["SensorStalled"] == 1
    release.set()
    assert rig.values("played.v") == [float(row) for row in range(rows)]
