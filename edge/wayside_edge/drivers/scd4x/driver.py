"""The driver of the SCD4x.

Source: Sensirion, SCD4x data sheet, version 1.3 (September 2022): the commands with their times and formulas in section
3 (overview in Table 9). The 30 ms of wake_up and reinit, and the range of the ambient pressure: Sensirion's driver,
python-i2c-scd4x 1.1.0.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from wayside_edge.drivers.scd4x.settings import ADDRESS, Mode, Scd4xSettings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.sensirion import SensirionChip, answers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

WAKE_UP, STOP, REINITIALISE, SERIAL = 0x36F6, 0x3F86, 0x3646, 0x3682
START = {Mode.PERIODIC: 0x21B1, Mode.LOW_POWER: 0x21AC}
DATA_READY, READ_MEASUREMENT = 0xE4B8, 0xEC05
SET_TEMPERATURE_OFFSET, SET_ALTITUDE, SET_PRESSURE = 0x241D, 0x2427, 0xE000
SET_AUTOMATIC_CALIBRATION, FORCE_CALIBRATION = 0x2416, 0x362F
WAKE_UP_S, STOP_S, REINITIALISE_S, COMMAND_S, CALIBRATION_S = 0.030, 0.500, 0.030, 0.001, 0.400
READY_BITS = 0x07FF
CALIBRATION_FAILED, CALIBRATION_ZERO = 0xFFFF, 0x8000
BEFORE_CALIBRATION_S = 185.0
"""The chip wants to have measured for three minutes."""
OVERDUE = 2.2
"""Periods after which a chip that measures by itself should have something new, whatever its oscillator does."""
LOOK_S = 0.5
FULL = 65535
MIN_C, MAX_C = -10.0, 60.0
MARGIN_C = 10.0
"""What lies further beyond the operating range comes from no measurement."""
MAX_PPM = 40_000
"""End of the output's range."""


class Scd4x:
    """An SCD4x on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
        clock: seconds, for what is overdue.
    """

    def __init__(
        self, settings: Scd4xSettings, bus: str, buses: BusProvider, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._clock = clock
        self._chip: SensirionChip | None = None
        self._last: list[Reading] = []
        self._measured_s = 0.0
        self._begun_s = 0.0
        self._calibrated = settings.forced_calibration_ppm is None

    def start(self) -> Steps[None]:
        """See `Driver`. Ends what the chip was doing, has it forget settings that were not kept, and sets it up."""
        bus = self._buses.i2c(self._bus_name)
        self._chip = chip = SensirionChip(bus, self._bus_name, self._settings.address)
        with suppress(DeviceAbsentError):  # it wakes up without acknowledging
            chip.send(WAKE_UP)
        yield WAKE_UP_S
        chip.send(STOP)
        yield STOP_S
        yield from chip.ask_identity(SERIAL, 3, COMMAND_S, "SCD4x")
        chip.send(REINITIALISE)
        yield REINITIALISE_S
        for command, word in self._set_up():
            chip.send(command, word)
            yield COMMAND_S
        self._last = []
        yield from self._begin(chip)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. The first read waits for the first measurement; a later one that comes too soon is stale."""
        chip = self._chip
        if chip is None:
            raise SensorError(f"bus {self._bus_name}: the SCD4x was not started")
        correction = yield from self._calibrate(chip)
        while not (yield from self._is_ready(chip)):
            yield from self._check_overdue(chip)
            if self._last:
                return [replace(r, quality=Quality.STALE) for r in self._last if r.value is not None] + correction
            yield LOOK_S
        co2, raw_t, raw_h = yield from chip.ask(READ_MEASUREMENT, 3, COMMAND_S)
        self._measured_s = self._clock()
        self._last = _readings(chip, co2, raw_t, raw_h)
        return self._last + correction

    def close(self) -> None:
        """See `Driver`."""
        chip, self._chip = self._chip, None
        if chip is not None:
            with suppress(BusError):  # a chip that is away cannot be stopped, and need not be
                chip.send(STOP)

    def _set_up(self) -> list[tuple[int, int]]:
        settings = self._settings
        commands = [
            (SET_TEMPERATURE_OFFSET, round(settings.temperature_offset_c * FULL / 175.0)),
            (SET_AUTOMATIC_CALIBRATION, int(settings.automatic_calibration)),
        ]
        if settings.ambient_pressure_hpa is not None:
            commands.append((SET_PRESSURE, round(settings.ambient_pressure_hpa)))
        else:
            commands.append((SET_ALTITUDE, settings.altitude_m or 0))
        return commands

    def _begin(self, chip: SensirionChip) -> Steps[None]:
        chip.send(START[self._settings.mode])
        self._measured_s = self._begun_s = self._clock()
        yield COMMAND_S

    def _is_ready(self, chip: SensirionChip) -> Steps[bool]:
        (status,) = yield from chip.ask(DATA_READY, 1, COMMAND_S)
        return bool(status & READY_BITS)

    def _check_overdue(self, chip: SensirionChip) -> Steps[None]:
        late_s = self._clock() - self._measured_s
        if late_s <= OVERDUE * self._settings.period_s:
            return
        try:
            # While it measures, it does not acknowledge this.
            yield from chip.ask(SERIAL, 3, COMMAND_S)
        except DeviceAbsentError:
            raise chip.error(f"has not measured for {late_s:.0f} s", Quality.NOT_READY) from None
        raise chip.error("stopped measuring: did its power fail?", Quality.POWER_LOST)

    def _calibrate(self, chip: SensirionChip) -> Steps[list[Reading]]:
        target = self._settings.forced_calibration_ppm
        if self._calibrated or target is None or self._clock() - self._begun_s < BEFORE_CALIBRATION_S:
            return []
        chip.send(STOP)
        yield STOP_S
        (answer,) = yield from chip.ask(FORCE_CALIBRATION, 1, CALIBRATION_S, target)
        if answer == CALIBRATION_FAILED:
            raise chip.error(f"did not take the calibration to {target} ppm; it is tried again three minutes from now")
        self._calibrated = True
        self._last = []
        yield from self._begin(chip)
        return [Reading("calibration_correction", float(answer - CALIBRATION_ZERO), "[ppm]", decimals=0)]


def _readings(chip: SensirionChip, co2: int, raw_t: int, raw_h: int) -> list[Reading]:
    celsius = -45.0 + 175.0 * raw_t / FULL
    if not MIN_C - MARGIN_C <= celsius <= MAX_C + MARGIN_C:
        raise chip.error(f"gives {celsius:.2f} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE)
    wet = Quality.CLIPPED if raw_h in (0, FULL) else Quality.GOOD
    return [
        _co2(co2),
        Reading("temperature", celsius, "Cel", decimals=2),
        Reading("humidity", 100.0 * raw_h / FULL, "%", decimals=2, quality=wet),
    ]


def _co2(ppm: int) -> Reading:
    if ppm == 0:  # there is no such air: the optical part gave nothing
        return Reading("co2", None, "[ppm]", quality=Quality.OUT_OF_RANGE)
    quality = Quality.CLIPPED if ppm >= MAX_PPM else Quality.GOOD
    return Reading("co2", float(min(ppm, MAX_PPM)), "[ppm]", decimals=0, quality=quality)


def _identify(bus: I2cBus, address: int) -> bool:
    # It answers this while it measures, too.
    return answers(bus, address, DATA_READY, 1) is not None


KIND = DriverKind(
    title="Sensirion SCD40, SCD41 and SCD43: carbon dioxide, temperature and humidity",
    settings=Scd4xSettings,
    build=Scd4x,
    families=("i2c",),
    quantities=(
        Quantity("co2", "[ppm]", 0.0, float(MAX_PPM), "±(50 ppm + 5 %) from 400 ppm to 2000 ppm (SCD40)"),
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.8 °C from 15 °C to 35 °C"),
        Quantity("humidity", "%", 0.0, 100.0, "±6 % from 15 °C to 35 °C"),
        Quantity("calibration_correction", "[ppm]", -32_768.0, 32_766.0),
    ),
    addresses=(ADDRESS,),
    identify=_identify,
)
"""Ranges and accuracies: data sheet, section 1."""
