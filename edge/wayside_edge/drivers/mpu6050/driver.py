"""The driver of the MPU-6050.

Source: InvenSense, MPU-6000 and MPU-6050 Register Map and Descriptions, RM-MPU-6000A-00, revision 4.2 (August 2013),
by the decimal numbers of its registers: 25 to 28 (rate, filter, ranges), 35 and 114 to 116 (FIFO), 56 and 58
(interrupts), 59 to 72 (measurements), 106 and 107 (user control, power), 117 (identity); MPU-6000 and MPU-6050 Product
Specification, PS-MPU-6000A-00, revision 3.4, section 6 (accuracy, start-up times).
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from wayside_edge.drivers.mpu6050.settings import (
    ACCELERATION_RANGES_G,
    BANDWIDTHS_HZ,
    FIFO_BYTES,
    ROTATION_RANGES_DPS,
    Mpu6050Settings,
    Parts,
)
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, decimals_of
from wayside_edge.ports import Burst, Bursts, BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

SMPLRT_DIV, FIFO_EN, INT_ENABLE, INT_STATUS = 0x19, 0x23, 0x38, 0x3A
USER_CTRL, PWR_MGMT_1, FIFO_R_W, WHO_AM_I = 0x6A, 0x6B, 0x74, 0x75
CHIP_ID = 0x68
SISTERS = {0x70: "an MPU-6500", 0x71: "an MPU-9250", 0x73: "an MPU-9255", 0x12: "an ICM-20602", 0x98: "an ICM-20689"}
"""Identities of chips that are sold on the same boards; their temperature has another formula, some FIFOs differ
(Linux, drivers/iio/imu/inv_mpu6050/inv_mpu_iio.h)."""
DEVICE_RESET, SLEEP, CLOCK_OF_X_GYROSCOPE = 0x80, 0x40, 0x01
FIFO_ON, FIFO_RESET = 0x40, 0x04
FIFO_OVERFLOW, DATA_READY = 0x10, 0x01
PARTS_BITS = {Parts.ACCELERATION: 0x08, Parts.ROTATION: 0x70, Parts.BOTH: 0x78}
STARTUP_S = 0.1
"""Longest start-up for register access after power-on or reset (product specification, section 6)."""
SETTLE_S = 0.1
"""The gyroscope takes 30 ms until its zero is within 1 deg/s (product specification, section 6.1)."""
POLLS = 10
CLOCK_HZ = 1000
"""Samples are taken at 1 kHz / (1 + SMPLRT_DIV) while the filter is on (register 25)."""
PIECE_BYTES = 252
"""Bytes read at once, whole samples of 6 and of 12 bytes: 6 ms at 400 kHz, then the others on the bus have a turn."""
GRAVITY = 9.80665
"""m/s² of standard gravity (BIPM, CGPM 1901)."""
LSB_PER_G, LSB_PER_DPS = (16384, 8192, 4096, 2048), (131.0, 65.5, 32.8, 16.4)
"""By AFS_SEL and FS_SEL (registers 59 to 64 and 67 to 72)."""
ENDS = -32768, 32767
"""What the chip gives for all that is beyond its range."""
MIN_C, MAX_C = -40.0, 85.0
AXES = ("x", "y", "z")


class Mpu6050(I2cDriver):
    """An MPU-6050 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Mpu6050Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._started = False
        self._lost = False
        acceleration = ACCELERATION_RANGES_G.index(settings.acceleration_range_g)
        rotation = ROTATION_RANGES_DPS.index(settings.rotation_range_dps)
        self._rate_hz = settings.fifo_rate_hz or CLOCK_HZ
        self._setup = bytes(
            (
                CLOCK_HZ // self._rate_hz - 1,
                BANDWIDTHS_HZ.index(settings.bandwidth_hz) + 1,
                rotation << 3,
                acceleration << 3,
            )
        )
        linear = _series("acceleration", "m/s2", GRAVITY / LSB_PER_G[acceleration])
        angular = _series("rotation", "deg/s", 1 / LSB_PER_DPS[rotation])
        self._all = (*linear, *angular)
        collected = {Parts.BOTH: self._all, Parts.ACCELERATION: linear, Parts.ROTATION: angular}
        self._collected = collected[settings.fifo_parts]

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip; takes 0.2 s. What its FIFO held is lost, and said so in the next samples."""
        self._lost = self._started and bool(self._settings.fifo_rate_hz)
        self.connect()
        self._check_identity()
        self.put(PWR_MGMT_1, bytes((DEVICE_RESET,)))
        yield STARTUP_S
        if self.get(PWR_MGMT_1, 1)[0] & DEVICE_RESET:
            raise self.error("did not finish its reset; check its supply", Quality.NOT_READY)
        self.put(PWR_MGMT_1, bytes((CLOCK_OF_X_GYROSCOPE,)))
        self.put(SMPLRT_DIV, self._setup)
        kept = self.get(SMPLRT_DIV, len(self._setup))
        if kept != self._setup:
            raise self.error(f"does not keep its settings ({kept.hex()} for {self._setup.hex()}); check its supply")
        self.put(INT_ENABLE, bytes((FIFO_OVERFLOW | DATA_READY,)))
        yield SETTLE_S
        if self._settings.fifo_rate_hz:
            self.put(FIFO_EN, bytes((PARTS_BITS[self._settings.fifo_parts],)))
            self._restart_fifo()
        self._started = True

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. With a FIFO: all samples since the read before, oldest first, and the temperature now."""
        return (yield from self._burst() if self._settings.fifo_rate_hz else self._once())

    def close(self) -> None:
        """See `Driver`."""
        if self._started:
            with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
                self.put(PWR_MGMT_1, bytes((SLEEP | CLOCK_OF_X_GYROSCOPE,)))
        self._started = False
        self.disconnect()

    def _check_identity(self) -> None:
        identity = self.get(WHO_AM_I, 1)[0]
        if identity != CHIP_ID:
            other = SISTERS.get(identity, "no MPU-6050")
            what = f"is {other}: identity 0x{identity:02x} instead of 0x{CHIP_ID:02x}; fit an MPU-6050"
            raise self.error(what, Quality.WRONG_CHIP)

    def _once(self) -> Steps[Sequence[Reading]]:
        for _ in range(POLLS):
            self._check_kept(self.get(SMPLRT_DIV, len(self._setup)) == self._setup)
            block = self.get(INT_STATUS, 15)
            if block[0] & DATA_READY:
                return [*self._now(block[1:7] + block[9:]), self._temperature(block[7:9])]
            yield 2 / CLOCK_HZ
        self._check_kept(not self.get(PWR_MGMT_1, 1)[0] & SLEEP)
        raise self.error("has made no new measurement; check its supply", Quality.NOT_READY)

    def _burst(self) -> Steps[Sequence[Reading]]:
        size = self._settings.sample_bytes
        count = self._waiting()
        for _ in range(POLLS):
            if count >= size:
                break
            yield 2 / self._rate_hz
            count = self._waiting()
        else:
            raise self.error("collects no samples; check its supply", Quality.NOT_READY)
        data = b""
        left = count // size * size
        while left:
            piece = min(left, PIECE_BYTES)
            data += self.get(FIFO_R_W, piece)
            left -= piece
            if left:
                yield 0.0
        block = self.get(INT_STATUS, 9)
        temperature = self._temperature(block[7:9])
        after = self._waiting()
        if block[0] & FIFO_OVERFLOW or count >= FIFO_BYTES:
            # Its oldest bytes were overwritten, perhaps while they were read: where a sample begins is not known.
            self._restart_fifo()
            self._lost = True
            gone = [Reading(name, None, unit, quality=Quality.INVALID) for name, unit, _, _ in self._collected]
            return [*gone, temperature]
        period_ns = 10**9 // self._rate_hz
        # The youngest that is left lies half a period back on average; never 0, which would mean the read's own time.
        age_ns = after // size * period_ns + period_ns // 2
        return Bursts(self._bursts(data, period_ns, age_ns), [temperature])

    def _waiting(self) -> int:
        """Bytes in the FIFO, checked together with what a dip of the supply would have reset."""
        block = self.get(USER_CTRL, 10)
        self._check_kept(block[0] & FIFO_ON == FIFO_ON and block[1] == CLOCK_OF_X_GYROSCOPE)
        count: int = struct.unpack(">H", block[8:])[0]
        if count > FIFO_BYTES:
            what = f"says that its FIFO of {FIFO_BYTES} bytes holds {count}; shorten the wires"
            raise self.error(what, Quality.CHECKSUM)
        return count

    def _check_kept(self, kept: bool) -> None:
        if not kept:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)

    def _restart_fifo(self) -> None:
        self.put(USER_CTRL, b"\x00")  # FIFO_RESET only works while FIFO_EN is 0 (register 106)
        self.put(USER_CTRL, bytes((FIFO_RESET,)))
        self.put(USER_CTRL, bytes((FIFO_ON,)))
        self.get(INT_STATUS, 1)

    def _now(self, data: bytes) -> Iterator[Reading]:
        for (name, unit, step, decimals), raw in zip(self._all, struct.unpack(">6h", data), strict=True):
            quality = Quality.CLIPPED if raw in ENDS else Quality.GOOD
            yield Reading(name, raw * step, unit, decimals=decimals, quality=quality)

    def _bursts(self, data: bytes, period_ns: int, age_ns: int) -> list[Burst]:
        """The samples in `data`, which has a 16-bit number of each series at a time; the last is `age_ns` old."""
        after_loss, self._lost = self._lost, False
        raws = struct.unpack(f">{len(data) // 2}h", data)
        bursts = []
        for place, (name, unit, step, decimals) in enumerate(self._collected):
            own = raws[place :: len(self._collected)]
            marks = {at: Quality.CLIPPED for at, raw in enumerate(own) if raw in ENDS} if _clipped(own) else {}
            if after_loss:
                marks[0] = Quality.OVERRUN
            bursts.append(Burst(name, [raw * step for raw in own], unit, period_ns, age_ns, decimals, marks))
        return bursts

    def _temperature(self, data: bytes) -> Reading:
        celsius = struct.unpack(">h", data)[0] / 340 + 36.53  # registers 65 and 66
        if not MIN_C - 5 <= celsius <= MAX_C + 10:
            raise self.error(f"gives {celsius:.2f} °C, outside of what it can measure", Quality.OUT_OF_RANGE)
        return Reading("temperature", celsius, "Cel", decimals=3)


_Series = tuple[str, str, float, int]
"""Name, unit, size of one step, and digits that tell steps apart."""


def _clipped(raws: Sequence[int]) -> bool:
    """Whether to look for clipped ones at all."""
    return min(raws) == ENDS[0] or max(raws) == ENDS[1]


def _series(name: str, unit: str, step: float) -> tuple[_Series, ...]:
    digits = decimals_of(step)
    return tuple((f"{name}_{axis}", unit, step, digits) for axis in AXES)


def _identify(bus: I2cBus, address: int) -> bool:
    return bus.write_read(address, bytes((WHO_AM_I,)), 1)[0] == CHIP_ID


KIND = DriverKind(
    title="InvenSense MPU-6050: acceleration, rotation and temperature",
    settings=Mpu6050Settings,
    build=Mpu6050,
    families=("i2c",),
    quantities=(
        Quantity("acceleration_*", "m/s2", -160.0, 160.0, "±0.05 g (x, y), ±0.08 g (z) at zero, ±3 %"),
        Quantity("rotation_*", "deg/s", -2000.0, 2000.0, "±20 deg/s at zero, ±3 %"),
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±1 °C from its own line"),
    ),
    addresses=(0x68, 0x69),
    identify=_identify,
    overflows_after_s=lambda settings: settings.overflows_after_s,
)
"""Accuracies: product specification, sections 6.1 to 6.3 (initial tolerance and zero output)."""
