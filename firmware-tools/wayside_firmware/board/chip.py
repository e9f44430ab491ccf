"""What a simulated chip is, what it finds around it, and how it can fail."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from wayside_firmware.board.air import Air, State


class Fault(Enum):
    """What can be wrong with a chip or its wiring."""

    NONE = "none"
    ABSENT = "absent"
    """Unplugged: its address is never acknowledged; on SPI nothing drives the line and all bits read as one."""
    NACK = "nack"
    """A loose contact: every second transaction is not acknowledged."""
    TIMEOUT = "timeout"
    """It stretches the clock for ever: its transactions time out, the rest of the bus goes on."""
    STUCK = "stuck"
    """It holds the data line low: no transaction on the bus ends, whoever it is for."""
    CORRUPT = "corrupt"
    """Noise on the wires: one bit of every read is turned."""
    WRONG_IDENTITY = "wrong_identity"
    """Another chip answers in its place."""
    OUT_OF_RANGE = "out_of_range"
    """It gives a code that stands for no possible measurement; what that is, its model knows."""
    SLOW = "slow"
    """Its conversions take a hundred times as long."""


SLOWNESS = 100.0


class I2cChip(Protocol):
    """A chip on an I2C bus, at its registers."""

    fault: Fault
    """Set by the bus; the bus itself acts on those of the wiring, the chip on the last three."""

    def write(self, data: bytes) -> None:
        """Take the bytes of a write; none at all is a probe of the address."""

    def read(self, count: int) -> bytes:
        """Give `count` bytes from where the chip stands."""


class SpiChip(Protocol):
    """A chip on an SPI bus."""

    fault: Fault

    def transfer(self, data: bytes) -> bytes:
        """Take `data` and give as many bytes, all within one chip select."""


class SerialChip(Protocol):
    """A device on a serial line."""

    fault: Fault

    def send(self, data: bytes) -> None:
        """Take bytes."""

    def receive(self) -> bytes:
        """What it has sent since the last call."""


@dataclass(frozen=True, slots=True)
class Swing:
    """A signal that goes up and down for ever."""

    mean: float
    swing: float
    period_s: float

    def __call__(self, at_s: float) -> float:
        """Its value at `at_s` seconds since 1970."""
        return self.mean + self.swing * math.sin(2 * math.pi * at_s / self.period_s)


SIGNALS: Mapping[str, Swing] = {
    "lux": Swing(420.0, 380.0, 86_400.0),
    "co2_ppm": Swing(750.0, 300.0, 7_200.0),
    "voc_ticks": Swing(30_000.0, 1_500.0, 3_600.0),
    "gas_ohm": Swing(120_000.0, 60_000.0, 3_600.0),
    "volt": Swing(1.65, 1.2, 600.0),
    "bus_volt": Swing(12.0, 0.6, 900.0),
    "ampere": Swing(0.8, 0.6, 60.0),
    "acceleration_g": Swing(0.0, 0.8, 0.05),
    "rotation_dps": Swing(0.0, 90.0, 2.0),
    "distance_mm": Swing(600.0, 400.0, 30.0),
    "probe_celsius": Swing(180.0, 120.0, 1_800.0),
    "pm_ug_m3": Swing(12.0, 8.0, 3_600.0),
}
"""What there is besides the air, unless a chip's settings say otherwise."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a chip finds around it.

    Args:
        air: the air.
        clock: seconds, for the time that things take.
        wall: seconds since 1970, for air and signals.
        signals: what replaces or adds to `SIGNALS`, each as a function of the seconds since 1970.
        noise: share of the noise of a real chip; 0 for none.
        seed: chooses noise and calibration; 0 has the calibration of the data sheet.
    """

    air: Air
    clock: Callable[[], float]
    wall: Callable[[], float]
    signals: Mapping[str, Callable[[float], float]] = field(default_factory=dict)
    noise: float = 0.0
    seed: int = 0

    def state(self) -> State:
        """The air now."""
        return self.air(self.wall())

    def signal(self, name: str, ago_s: float = 0.0) -> float:
        """The signal `name`, `ago_s` seconds before now."""
        return (self.signals.get(name) or SIGNALS[name])(self.wall() - ago_s)


@dataclass(frozen=True, slots=True)
class Model:
    """How a model of a chip is made: each module in `chips` has one, named `MODEL`.

    Args:
        build: makes a chip.
        address: its usual I2C address; None for a chip that has none.
        spi: whether it can be on SPI.
        uart: whether it is on a serial line.
    """

    build: Callable[[Surroundings], I2cChip | SpiChip | SerialChip]
    address: int | None = None
    spi: bool = False
    uart: bool = False


class RegisterChip:
    """A chip whose first written byte sets a pointer to its 8-bit registers; reads and writes go on from there.

    A model overrides `set` (a register was written) and `advance` (time has passed: fill the data registers).

    Args:
        around: what it finds around it.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.around = around
        self.registers = bytearray(256)
        self.pointer = 0

    def write(self, data: bytes) -> None:
        """See `I2cChip`."""
        self.advance()
        if data:
            self.pointer = data[0]
        for offset, value in enumerate(data[1:]):
            self.set((self.pointer + offset) & 0xFF, value)

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        self.advance()
        start, self.pointer = self.pointer, (self.pointer + count) & 0xFF
        return bytes(self.registers[(start + offset) & 0xFF] for offset in range(count))

    def set(self, register: int, value: int) -> None:
        """Take a write of one register."""
        self.registers[register] = value

    def advance(self) -> None:
        """Let everything happen that was due by now."""

    def takes(self, seconds: float) -> float:
        """How long something of that length takes, which is longer for a slow chip."""
        return seconds * (SLOWNESS if self.fault is Fault.SLOW else 1.0)


class WordChip:
    """A chip whose first written byte sets a pointer to 16-bit registers, most significant byte first.

    A read repeats the register. A model overrides `set` and `get`.

    Args:
        around: what it finds around it.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.around = around
        self.words: dict[int, int] = {}
        self.pointer = 0

    def write(self, data: bytes) -> None:
        """See `I2cChip`."""
        if data:
            self.pointer = data[0]
        if len(data) >= 3:
            self.set(self.pointer, data[1] << 8 | data[2])

    def read(self, count: int) -> bytes:
        """See `I2cChip`."""
        word = (self.get(self.pointer) & 0xFFFF).to_bytes(2, "big")
        return (word * (count // 2 + 1))[:count]

    def set(self, register: int, value: int) -> None:
        """Take a write of one register."""
        self.words[register] = value

    def get(self, register: int) -> int:
        """The content of one register now."""
        return self.words.get(register, 0)

    def takes(self, seconds: float) -> float:
        """How long something of that length takes, which is longer for a slow chip."""
        return seconds * (SLOWNESS if self.fault is Fault.SLOW else 1.0)
