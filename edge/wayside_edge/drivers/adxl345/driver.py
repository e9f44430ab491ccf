"""The driver of the ADXL345.

Source: Analog Devices, ADXL345 data sheet, Rev. E: Table 1 (specifications), Serial Communications (SPI mode 3,
5 MHz; I2C), Interrupts, FIFO with Retrieving Data from FIFO, Register Definitions (by address).
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from wayside_edge.drivers.adxl345.settings import (
    FASTEST_I2C_HZ,
    FIFO_DEPTH,
    LOWEST_RATE_CODE,
    RANGES_G,
    RATES_HZ,
    Adxl345Settings,
)
from wayside_edge.errors import BusError, ConfigError
from wayside_edge.hal.chip import ChipDriver, decimals_of
from wayside_edge.hal.registers import SpiFraming, registers
from wayside_edge.ports import Burst, Bursts, BusProvider, DriverKind, I2cBus, Quantity, Reading, Registers, Steps
from wayside_shared.quality import Quality

DEVID, OFSX, BW_RATE, POWER_CTL, DATA_FORMAT, DATAX0, FIFO_CTL = 0x00, 0x1E, 0x2C, 0x2D, 0x31, 0x32, 0x38
CHIP_ID = 0xE5
MEASURE, FULL_RES, STREAM = 0x08, 0x08, 0x80
DATA_READY, OVERRUN = 0x80, 0x01
ENTRIES = 0x3F
SETUP_LENGTH = 6
"""Registers from BW_RATE to DATA_FORMAT, with INT_SOURCE: one read tells the settings and the state."""
FRAMING = SpiFraming(mode=3, max_speed_hz=1_600_000, read=0x80, several=0x40)
"""At up to 1.6 MHz the address byte alone gives the FIFO its 5 µs between two samples (Retrieving Data from FIFO)."""
SINGLE_RATE_HZ = 100.0
LAST_BIT_HZ = 800.0
WAKE_S = 0.0011
"""From standby to the first sample: a sample's period and this (Table 1)."""
POLLS = 10
TURN = 8
"""Samples read before the others on the bus have a turn: 2 ms at 400 kHz."""
LSB_PER_G = 256
"""Of every range in full resolution (Table 1; the printed 3.9 mg/LSB is this, rounded)."""
GRAVITY = 9.80665
"""m/s² of standard gravity (BIPM, CGPM 1901)."""
STEP = GRAVITY / LSB_PER_G
DECIMALS = decimals_of(STEP)
SERIES = ("acceleration_x", "acceleration_y", "acceleration_z")
UNIT = "m/s2"


class Adxl345(ChipDriver):
    """An ADXL345 on an I2C or SPI bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.

    Raises:
        ConfigError: the FIFO is to be filled faster than I2C can empty it.
    """

    def __init__(self, settings: Adxl345Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(f"bus {bus}")
        if settings.fifo_rate_hz > FASTEST_I2C_HZ and buses.family(bus) == "i2c":
            raise ConfigError(f"fifo_rate_hz = {settings.fifo_rate_hz:g}: over I2C at most 800; wire it to SPI")
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._registers: Registers | None = None
        self._began = False
        self._lost = False
        self._rate_hz = settings.fifo_rate_hz or SINGLE_RATE_HZ
        self._rate = LOWEST_RATE_CODE + RATES_HZ.index(self._rate_hz)
        self._format = FULL_RES | RANGES_G.index(settings.range_g)
        self._fifo = STREAM if settings.fifo_rate_hz else 0
        self._limit = LSB_PER_G * settings.range_g
        # Above 800 Hz the last bit is always 0 (Data Formatting of Upper Data Rates).
        self._ends = -self._limit, self._limit - (2 if self._rate_hz > LAST_BIT_HZ else 1)

    def start(self) -> Steps[None]:
        """See `Driver`. The chip has no reset: all that matters is set anew. What its FIFO held is lost, and said so
        in the next samples."""
        settings = self._settings
        self._lost = self._began and bool(settings.fifo_rate_hz)
        self._registers = chip = registers(
            self._buses, self._bus_name, FRAMING, address=settings.address, chip_select=settings.chip_select
        )
        self._where = chip.where
        identity = chip.read(DEVID, 1)[0]
        if identity != CHIP_ID:
            what = f"is no ADXL345: identity 0x{identity:02x} instead of 0x{CHIP_ID:02x}"
            raise self.error(what, Quality.ABSENT if identity in (0x00, 0xFF) else Quality.WRONG_CHIP)
        chip.write(FIFO_CTL, b"\x00")  # bypass empties the FIFO
        chip.write(OFSX, bytes(3))
        chip.write(BW_RATE, bytes((self._rate, 0, 0, 0)))
        chip.write(DATA_FORMAT, bytes((self._format,)))
        chip.write(FIFO_CTL, bytes((self._fifo,)))
        chip.write(POWER_CTL, bytes((MEASURE,)))
        self._check_kept(chip.read(BW_RATE, SETUP_LENGTH))
        self._began = True
        yield WAKE_S + 1 / self._rate_hz

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. With a FIFO: all samples since the read before, oldest first."""
        chip = self._registers
        if chip is None:
            raise self.error("was not started")
        return (yield from self._burst(chip) if self._settings.fifo_rate_hz else self._once(chip))

    def close(self) -> None:
        """See `Driver`."""
        if self._registers is not None:
            with suppress(BusError):  # a chip that is away cannot be put to standby, and need not be
                self._registers.write(POWER_CTL, b"\x00")
        self._registers = None
        self._began = False

    def _once(self, chip: Registers) -> Steps[Sequence[Reading]]:
        yield from self.poll(
            lambda: bool(self._check_kept(chip.read(BW_RATE, SETUP_LENGTH)) & DATA_READY),
            0.0,
            "has made no new measurement; check its supply",
            polls=2 * POLLS,
        )
        return list(self._now(chip.read(DATAX0, 6)))

    def _burst(self, chip: Registers) -> Steps[Sequence[Reading]]:
        lost = bool(self._check_kept(chip.read(BW_RATE, SETUP_LENGTH)) & OVERRUN)
        count = self._waiting(chip)
        for _ in range(POLLS):
            if count:
                break
            yield 2 / self._rate_hz
            count = self._waiting(chip)
        else:
            raise self.error("collects no samples; check its supply", Quality.NOT_READY)
        samples = []
        for place in range(count):
            if place and not place % TURN:
                yield 0.0
            samples.append(chip.read(DATAX0, 6))
        after = self._waiting(chip)
        # Reading clears the flag, so one set since was set meanwhile, and where in these samples the gap is is unknown.
        gap = bool(chip.read(BW_RATE, SETUP_LENGTH)[4] & OVERRUN)
        # A full FIFO may have lost one between the two looks at it, whose flag the first sample cleared.
        missing = lost or gap or self._lost or count >= FIFO_DEPTH
        self._lost = False
        marked = range(count if gap else 1) if missing else range(0)
        period_ns = round(1e9 / self._rate_hz)
        # The youngest that is left lies half a period back on average; never 0, the read's own time.
        return Bursts(self._bursts(b"".join(samples), marked, period_ns, after * period_ns + period_ns // 2))

    def _bursts(self, data: bytes, marked: range, period_ns: int, age_ns: int) -> list[Burst]:
        """The samples in `data`, of which those at the places `marked` follow a gap; the last is `age_ns` old."""
        raws = self._checked(struct.unpack(f"<{len(data) // 2}h", data))
        bursts = []
        for axis, name in enumerate(SERIES):
            own = raws[axis :: len(SERIES)]
            marks = {at: Quality.CLIPPED for at, raw in enumerate(own) if raw in self._ends}
            marks |= dict.fromkeys(marked, Quality.OVERRUN)
            bursts.append(Burst(name, [raw * STEP for raw in own], UNIT, period_ns, age_ns, DECIMALS, marks))
        return bursts

    def _waiting(self, chip: Registers) -> int:
        """Samples in the FIFO."""
        mode, status = chip.read(FIFO_CTL, 2)
        if mode != self._fifo:
            raise self._lost_settings()
        count = status & ENTRIES
        if count > FIFO_DEPTH + 1:  # one more may wait in the output registers (FIFO)
            what = f"says that its FIFO of {FIFO_DEPTH} samples holds {count}; shorten the wires"
            raise self.error(what, Quality.CHECKSUM)
        return count

    def _check_kept(self, block: bytes) -> int:
        """INT_SOURCE, from registers that still hold what was set."""
        if (block[0], block[1], block[5]) != (self._rate, MEASURE, self._format):
            raise self._lost_settings()
        return block[4]

    def _lost_settings(self) -> Exception:
        return self.error("lost its settings: did its power fail?", Quality.POWER_LOST)

    def _now(self, data: bytes) -> Iterator[Reading]:
        for name, raw in zip(SERIES, self._checked(struct.unpack("<3h", data)), strict=True):
            quality = Quality.CLIPPED if raw in self._ends else Quality.GOOD
            yield Reading(name, raw * STEP, UNIT, decimals=DECIMALS, quality=quality)

    def _checked(self, raws: Sequence[int]) -> Sequence[int]:
        for raw in (min(raws), max(raws)):
            if not -self._limit <= raw < self._limit:
                raise self.error(f"gives {raw / LSB_PER_G:.1f} g, outside of its range", Quality.OUT_OF_RANGE)
        return raws


def _identify(bus: I2cBus, address: int) -> bool:
    return bus.write_read(address, bytes((DEVID,)), 1)[0] == CHIP_ID


KIND = DriverKind(
    title="Analog Devices ADXL345: acceleration",
    settings=Adxl345Settings,
    build=Adxl345,
    families=("i2c", "spi"),
    quantities=(Quantity("acceleration_*", UNIT, -160.0, 160.0, "±0.15 g (x, y), ±0.25 g (z) at zero, ±10 %"),),
    addresses=(0x53, 0x1D),
    identify=_identify,
    overflows_after_s=lambda settings: settings.overflows_after_s,
)
"""Accuracy: data sheet, Table 1: 0 g output, and sensitivity of 230 to 282 LSB/g."""
