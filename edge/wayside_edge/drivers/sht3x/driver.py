"""The driver of the SHT3x.

Source: Sensirion, Datasheet SHT3x-DIS, version 5 (May 2018): longest times in section 2.2 (Table 4), commands in
sections 4.3 to 4.11 (Tables 9 to 19), formulas in section 4.13.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from wayside_edge.drivers.sht3x.settings import ADDRESSES, Mode, Repeatability, Sht3xSettings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.sensirion import SensirionChip, answers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

BREAK, RESET, STATUS, CLEAR_STATUS, FETCH = 0x3093, 0x30A2, 0xF32D, 0x3041, 0xE000
HEATER = {True: 0x306D, False: 0x3066}
SINGLE = {
    Repeatability.HIGH: (0x2400, 0.0155),
    Repeatability.MEDIUM: (0x240B, 0.0065),
    Repeatability.LOW: (0x2416, 0.0045),
}
"""Command without clock stretching, and longest time in seconds (at less than 2.4 V; half a millisecond less above)."""
PERIODIC = {
    0.5: {Repeatability.HIGH: 0x2032, Repeatability.MEDIUM: 0x2024, Repeatability.LOW: 0x202F},
    1.0: {Repeatability.HIGH: 0x2130, Repeatability.MEDIUM: 0x2126, Repeatability.LOW: 0x212D},
    2.0: {Repeatability.HIGH: 0x2236, Repeatability.MEDIUM: 0x2220, Repeatability.LOW: 0x222B},
    4.0: {Repeatability.HIGH: 0x2334, Repeatability.MEDIUM: 0x2322, Repeatability.LOW: 0x2329},
    10.0: {Repeatability.HIGH: 0x2737, Repeatability.MEDIUM: 0x2721, Repeatability.LOW: 0x272A},
}
BREAK_S, RESET_S, COMMAND_S = 0.001, 0.0015, 0.001
WAS_RESET, HEATING = 0x0010, 0x2000
"""Bits of the status (Table 18)."""
FULL = 65535
MIN_C, MAX_C = -40.0, 125.0
"""Operating range."""
MARGIN_C = 2.0
"""What codes further beyond it say comes from no measurement."""
OVERDUE = 2.5
"""Periods after which a chip that measures by itself should have something new, whatever its oscillator does."""


class Sht3x:
    """An SHT3x on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
        clock: seconds, to tell a read that came too soon from a chip that stopped.
    """

    def __init__(
        self, settings: Sht3xSettings, bus: str, buses: BusProvider, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._clock = clock
        self._chip: SensirionChip | None = None
        self._last: list[Reading] = []
        self._measured_s = 0.0

    def start(self) -> Steps[None]:
        """See `Driver`. Ends what the chip was doing and resets it, then sets it up."""
        settings = self._settings
        bus = self._buses.i2c(self._bus_name)
        self._chip = chip = SensirionChip(bus, self._bus_name, settings.address)
        chip.send(BREAK)
        yield BREAK_S
        chip.send(RESET)
        yield RESET_S
        yield from chip.ask_identity(STATUS, 1, COMMAND_S, "SHT3x")
        chip.send(CLEAR_STATUS)
        yield COMMAND_S
        chip.send(HEATER[settings.heater])
        yield COMMAND_S
        self._last, self._measured_s = [], self._clock()
        if settings.mode is Mode.PERIODIC:
            chip.send(PERIODIC[settings.rate_hz][settings.repeatability])
            yield SINGLE[settings.repeatability][1]

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. In periodic mode a read that comes before the next measurement gives the last as stale."""
        chip = self._chip
        if chip is None:
            raise SensorError(f"bus {self._bus_name}: the SHT3x was not started")
        if self._settings.mode is Mode.PERIODIC:
            return (yield from self._fetch(chip))
        command, wait_s = SINGLE[self._settings.repeatability]
        raw_t, raw_h = yield from chip.ask(command, 2, wait_s)
        if self._settings.heater:
            yield from self._check_status(chip)
        return self._readings(chip, raw_t, raw_h)

    def close(self) -> None:
        """See `Driver`."""
        chip, self._chip = self._chip, None
        if chip is None:
            return
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._settings.heater:
                chip.send(HEATER[False])
            if self._settings.mode is Mode.PERIODIC:
                chip.send(BREAK)  # last: the chip takes nothing for a millisecond after it

    def _fetch(self, chip: SensirionChip) -> Steps[Sequence[Reading]]:
        chip.send(FETCH)
        yield COMMAND_S
        try:
            raw_t, raw_h = chip.take(2)
        except DeviceAbsentError:
            yield from self._check_status(chip)
            late_s = self._clock() - self._measured_s
            if late_s > OVERDUE / self._settings.rate_hz or not self._last:
                raise chip.error(f"has not measured for {late_s:.2g} s", Quality.NOT_READY) from None
            return [replace(reading, quality=Quality.STALE) for reading in self._last]
        self._measured_s = self._clock()
        self._last = self._readings(chip, raw_t, raw_h)
        return self._last

    def _check_status(self, chip: SensirionChip) -> Steps[None]:
        (status,) = yield from chip.ask(STATUS, 1, COMMAND_S)
        if status & WAS_RESET or bool(status & HEATING) != self._settings.heater:
            raise chip.error("lost its settings: did its power fail?", Quality.POWER_LOST)

    def _readings(self, chip: SensirionChip, raw_t: int, raw_h: int) -> list[Reading]:
        celsius = -45.0 + 175.0 * raw_t / FULL
        if not MIN_C - MARGIN_C <= celsius <= MAX_C + MARGIN_C:
            raise chip.error(
                f"gives {celsius:.2f} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE
            )
        quality = Quality.UNSTABLE if self._settings.heater else Quality.GOOD
        # All codes of humidity are within 0 to 100 %, so at an end the truth may lie beyond.
        wet = Quality.CLIPPED if raw_h in (0, FULL) and quality is Quality.GOOD else quality
        return [
            Reading("temperature", celsius, "Cel", decimals=2, quality=quality),
            Reading("humidity", 100.0 * raw_h / FULL, "%", decimals=2, quality=wet),
        ]


def _identify(bus: I2cBus, address: int) -> bool:
    return answers(bus, address, STATUS, 1) is not None


KIND = DriverKind(
    title="Sensirion SHT30, SHT31, SHT35 and SHT85: temperature and humidity",
    settings=Sht3xSettings,
    build=Sht3x,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.2 °C (SHT30, SHT31), ±0.1 °C (SHT35)"),
        Quantity("humidity", "%", 0.0, 100.0, "±2 % (SHT30, SHT31), ±1.5 % (SHT35)"),
    ),
    addresses=ADDRESSES,
    identify=_identify,
)
"""Accuracies: data sheet, Tables 1 and 2, typical."""
