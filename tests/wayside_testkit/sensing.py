"""What the sensing half needs around it: clocks that tests own, buses with simulated chips, an outbox in memory."""

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from wayside_edge.config import AgentSettings
from wayside_edge.errors import BusError, ConfigError, OutboxError
from wayside_edge.hal.i2c import SmbusI2c, SmbusLike
from wayside_edge.hal.spi import SpidevDevice
from wayside_edge.hal.uart import SerialUart
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import ClosedBatch, GpioBus, I2cBus, ModbusBus, SpiDevice, Steps, Uart, W1Bus
from wayside_edge.registry import SensorSettings
from wayside_edge.uplink.settings import UplinkSettings
from wayside_firmware.board.air import State
from wayside_firmware.board.bus import SimulatedBus, SimulatedSpi
from wayside_firmware.board.chip import I2cChip, SpiChip, Surroundings
from wayside_firmware.board.chips.bme280 import Bme280Chip, Trimming
from wayside_shared.settings import Table

T = TypeVar("T")

BOOT = bytes(range(16))
NOON_NS = 1_700_000_000 * 10**9


class ManualClock:
    """A `Clock` that moves when told."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.right = True

    def boottime_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return NOON_NS + self.now_ns

    def synced(self) -> bool:
        return self.right

    def boot_id(self) -> bytes:
        return BOOT


class BoardClock:
    """Seconds for a simulated chip: waiting is what makes them pass."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Bench:
    """Simulated chips on an I2C bus named `main` and an SPI bus named `spi`, and the clock they live by.

    A `BusProvider`. Chips come by `put` and `put_spi`, made with `around`; a bus of another family by its attribute.
    """

    def __init__(self, state: State | None = None, *, noise: float = 0.0, seed: int = 0) -> None:
        self.state = state or State(21.37, 98_765.4, 43.21)
        self.signals: dict[str, float] = {}
        self.clock = BoardClock()
        self.around = Surroundings(
            air=lambda _at_s: self.state,
            clock=self.clock,
            wall=lambda: 1.7e9 + self.clock.now_s,
            signals=_Live(self.signals),
            noise=noise,
            seed=seed,
        )
        self.bus = SimulatedBus({})
        self.spi_bus = SimulatedSpi({})
        self.wire: W1Bus | None = None
        self.pins: GpioBus | None = None
        self.tty: SerialUart | None = None
        self.line: ModbusBus | None = None

    def put(self, address: int, chip: I2cChip) -> None:
        """Solder `chip` to the I2C bus."""
        self.bus.chips[address] = chip

    def put_spi(self, chip_select: int, chip: SpiChip) -> None:
        """Solder `chip` to the SPI bus."""
        self.spi_bus.chips[chip_select] = chip

    def finish(self, steps: Steps[T] | T) -> T:
        """Run a driver's steps to their end; its pauses pass on this bench's clock."""
        return finish(steps, self.clock.sleep)

    def family(self, name: str) -> str:
        return {"main": "i2c", "spi": "spi", "wire": "w1", "pins": "gpio", "tty": "uart", "line": "modbus"}[name]

    def i2c(self, name: str) -> I2cBus:
        return SmbusI2c(name, lambda: self.bus)

    def spi(self, name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        where = f"bus {name}, chip select {chip_select}"
        device = SpidevDevice(where, lambda: self.spi_bus.open(chip_select), mode, max_speed_hz)
        device.open()
        return device

    def w1(self, name: str) -> W1Bus:
        return _there(name, self.wire)

    def gpio(self, name: str) -> GpioBus:
        return _there(name, self.pins)

    def modbus(self, name: str) -> ModbusBus:
        return _there(name, self.line)

    def renew(self, name: str) -> Callable[[], None]:
        return lambda: None

    def uart(self, name: str, *, baud: int) -> Uart:
        line = _there(name, self.tty)
        line.open(baud)
        return line


def _there(name: str, bus: T | None) -> T:
    assert bus is not None, f"put a bus named {name} onto the bench first"
    return bus


class OneFamily:
    """The rest of a `BusProvider` that has one family only."""

    def w1(self, name: str) -> W1Bus:
        raise ConfigError(f"there is no bus {name}")

    def gpio(self, name: str) -> GpioBus:
        raise ConfigError(f"there is no bus {name}")

    def modbus(self, name: str) -> ModbusBus:
        raise ConfigError(f"there is no bus {name}")

    def renew(self, name: str) -> Callable[[], None]:
        return lambda: None

    def uart(self, name: str, *, baud: int) -> Uart:
        raise ConfigError(f"there is no bus {name}")


class _Live(Mapping[str, Callable[[float], float]]):
    """Signals that a test changes while chips look at them."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Callable[[float], float]:
        value = self._values[name]
        return lambda _at_s: value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def finish(steps: Steps[T] | T, sleep: Callable[[float], None]) -> T:
    """What `steps` return in the end; `sleep` takes their pauses. A result that is no steps is itself."""
    if not isinstance(steps, Generator):
        return steps
    while True:
        try:
            sleep(next(steps))
        except StopIteration as end:
            result: T = end.value
            return result


class Board(Bench):
    """One simulated BME280 on an I2C bus named `main`."""

    def __init__(
        self, state: State, calibration: Trimming | None = None, *, address: int = 0x76, noise: float = 0.0
    ) -> None:
        super().__init__(state, noise=noise, seed=0)
        self.chip = Bme280Chip(self.around, calibration)
        self.put(address, self.chip)


class SwitchedBuses(OneFamily):
    """A `BusProvider` whose buses can be taken away and given back."""

    def __init__(self, buses: Mapping[str, Callable[[], SmbusLike]]) -> None:
        self._openers = buses
        self.missing: set[str] = set()

    def family(self, name: str) -> str:
        return "i2c"

    def i2c(self, name: str) -> I2cBus:
        if name in self.missing:
            raise BusError(f"bus {name} is not there")
        return SmbusI2c(name, self._openers[name])

    def spi(self, name: str, chip_select: int, *, mode: int, max_speed_hz: int) -> SpiDevice:
        raise BusError(f"there is no bus {name}")


class MemoryOutbox:
    """An `Outbox` that keeps batches in a list, refuses on demand, and tells who waits for it."""

    def __init__(self) -> None:
        self.batches: list[ClosedBatch] = []
        self.refusing = False
        self.refusals = 0
        self._changed = asyncio.Event()

    async def append(self, batch: ClosedBatch) -> int:
        await asyncio.sleep(0)
        if self.refusing:
            self.refusals += 1
            self._tell()
            raise OutboxError("no space left on device")
        self.batches.append(batch)
        self._tell()
        return len(self.batches)

    @property
    def samples(self) -> int:
        return sum(batch.n for batch in self.batches)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until `condition` holds; it is asked again after every append."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                changed = self._changed
                await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def agent_settings(
    sensors: Sequence[SensorSettings], *, batch: BatchSettings | None = None, outbox: Path = Path("outbox.db")
) -> AgentSettings:
    """Settings of an agent that reads `sensors`."""
    return AgentSettings(
        uplink=UplinkSettings(host="localhost", device="board-1"),
        outbox=OutboxSettings(path=outbox),
        batch=batch or BatchSettings(max_age_s=0.05),
        sensor=list(sensors),
    )


def sensor(name: str, kind: str, interval_s: float = 0.01, bus: str | None = None, **options: object) -> SensorSettings:
    """A `[[sensor]]` table."""
    return SensorSettings(name=name, kind=kind, interval_s=interval_s, bus=bus, options=Table(options))
