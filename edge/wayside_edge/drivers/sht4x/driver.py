"""The driver of the SHT4x.

Source: Sensirion, Datasheet SHT4x: commands in the table of I2C commands, longest measurement and reset times in
the timing table of the electrical specifications, formulas in "Conversion of Signal Output", pulses and their share of
time in "Heater Operation".
"""

import time
from collections.abc import Callable, Sequence

from wayside_edge.drivers.sht4x.settings import ADDRESSES, Heater, Precision, Sht4xSettings
from wayside_edge.errors import SensorError
from wayside_edge.hal.sensirion import SensirionChip, answers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

SERIAL, RESET = 0x89, 0x94
SERIAL_S, RESET_S = 0.001, 0.001
MEASURE = {Precision.HIGH: (0xFD, 0.0083), Precision.MEDIUM: (0xF6, 0.0045), Precision.LOW: (0xE0, 0.0016)}
"""Command and longest time in seconds."""
HEAT = {
    (Heater.HIGH, 1.0): 0x39,
    (Heater.HIGH, 0.1): 0x32,
    (Heater.MEDIUM, 1.0): 0x2F,
    (Heater.MEDIUM, 0.1): 0x24,
    (Heater.LOW, 1.0): 0x1E,
    (Heater.LOW, 0.1): 0x15,
}
LONGEST_PULSE = 1.1
"""Longest pulse by its nominal length: 1.1 s and 0.11 s."""
FULL = 65535
MIN_C, MAX_C = -40.0, 125.0
"""Operating range."""
MARGIN_C = 2.0
"""What codes further beyond it say comes from no measurement."""


class Sht4x:
    """An SHT4x on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
        clock: seconds, for the heater's intervals.
    """

    def __init__(
        self, settings: Sht4xSettings, bus: str, buses: BusProvider, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._clock = clock
        self._chip: SensirionChip | None = None
        self._cool_s = 0.0
        self._pulse_due_s: float | None = None

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, which also ends a heater pulse, and asks for its serial number."""
        bus = self._buses.i2c(self._bus_name)
        self._chip = chip = SensirionChip(bus, self._bus_name, self._settings.address, width=1)
        chip.send(RESET)
        yield RESET_S
        yield from chip.ask_identity(SERIAL, 2, SERIAL_S, "SHT4x")
        if self._settings.heater is not Heater.OFF and self._pulse_due_s is None:
            self._pulse_due_s = self._clock() + self._settings.heater_interval_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. A heater pulse that is due follows the measurement, and the next ones are marked for it."""
        chip = self._chip
        if chip is None:
            raise SensorError(f"bus {self._bus_name}: the SHT4x was not started")
        command, wait_s = MEASURE[self._settings.precision]
        raw_t, raw_h = yield from chip.ask(command, 2, wait_s)
        quality = Quality.UNSTABLE if self._clock() < self._cool_s else Quality.GOOD
        readings = _readings(chip, raw_t, raw_h, quality)
        if self._pulse_due_s is not None and self._clock() >= self._pulse_due_s:
            yield from self._heat(chip)
        return readings

    def close(self) -> None:
        """See `Driver`. The chip sleeps by itself between measurements."""
        self._chip = None

    def _heat(self, chip: SensirionChip) -> Steps[None]:
        settings = self._settings
        self._pulse_due_s = self._clock() + settings.heater_interval_s
        length_s = settings.heater_pulse_s * LONGEST_PULSE
        self._cool_s = self._clock() + length_s + settings.heater_recovery_s
        # The answer is what the hot chip measures at the end of the pulse: it says nothing of the air.
        yield from chip.ask(HEAT[settings.heater, settings.heater_pulse_s], 2, length_s)


def _readings(chip: SensirionChip, raw_t: int, raw_h: int, quality: Quality) -> list[Reading]:
    celsius = -45.0 + 175.0 * raw_t / FULL
    if not MIN_C - MARGIN_C <= celsius <= MAX_C + MARGIN_C:
        raise chip.error(f"gives {celsius:.2f} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE)
    percent = -6.0 + 125.0 * raw_h / FULL
    humidity = min(max(percent, 0.0), 100.0)
    # The formula reaches beyond what there is, so that offsets show; the data sheet has it cut at 0 and 100 %.
    wet = Quality.CLIPPED if humidity != percent and quality is Quality.GOOD else quality
    return [
        Reading("temperature", celsius, "Cel", decimals=2, quality=quality),
        Reading("humidity", humidity, "%", decimals=2, quality=wet),
    ]


def _identify(bus: I2cBus, address: int) -> bool:
    return answers(bus, address, SERIAL, 2, width=1) is not None


KIND = DriverKind(
    title="Sensirion SHT40, SHT41, SHT43 and SHT45: temperature and humidity",
    settings=Sht4xSettings,
    build=Sht4x,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.2 °C (SHT40, SHT41), ±0.1 °C (SHT45)"),
        Quantity("humidity", "%", 0.0, 100.0, "±1.8 % (SHT40, SHT41), ±1.0 % (SHT45)"),
    ),
    addresses=ADDRESSES,
    identify=_identify,
)
"""Accuracies: data sheet, typical, at 25 °C."""
