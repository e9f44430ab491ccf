"""The driver of the SGP40.

Source: Sensirion, Datasheet SGP40, version 1.0 (July 2020): switch-on behaviour in Table 1, commands and their times in
Tables 8 to 14, humidity and temperature as words in Table 10. The command for the number of its features, 0x202F, is
not in it; Sensirion's other gas sensors have it, and ESPHome's driver tells an SGP40 from an SGP41 by it.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.sensirion import SensirionChip, answers
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

ADDRESS = 0x59
FEATURES, SELF_TEST, MEASURE, HEATER_OFF = 0x202F, 0x280E, 0x260F, 0x3615
FEATURES_S, SELF_TEST_S, MEASURE_S = 0.010, 0.320, 0.030
"""Section 3.3 has 250 ms for the self-test; waiting longer does no harm."""
FEATURES_MASK, SGP40_FEATURES, SGP41_FEATURES = 0x01FF, 0x0020, 0x0040
PASSED = 0xD400
FULL = 65535
NO_HUMIDITY_PERCENT, NO_TEMPERATURE_C = 50.0, 25.0
"""With these two the chip does not compensate."""


@dataclass(frozen=True, slots=True)
class Sgp40Settings:
    """Settings of a sensor of kind `sgp40`."""

    address: int = setting("I2C address; all of these chips have 0x59.", ADDRESS, choices=(ADDRESS,), hexadecimal=True)
    humidity_percent: float = setting(
        "Relative humidity of the place in %, which the chip takes into account; 50 with 25 °C is no compensation.",
        NO_HUMIDITY_PERCENT,
        minimum=0.0,
        maximum=100.0,
    )
    temperature_c: float = setting(
        "Temperature of the place in °C, for the same.", NO_TEMPERATURE_C, minimum=-45.0, maximum=130.0
    )
    warm_up_s: float = setting(
        "How long after a start the values are marked as unstable, in seconds.", 60.0, minimum=0.0, maximum=3600.0
    )


class Sgp40:
    """An SGP40 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
        clock: seconds, for the warm-up.
    """

    def __init__(
        self, settings: Sgp40Settings, bus: str, buses: BusProvider, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._bus_name = bus
        self._buses = buses
        self._clock = clock
        self._chip: SensirionChip | None = None
        self._warm_s = 0.0
        self._words = (
            round(settings.humidity_percent * FULL / 100.0),
            round((settings.temperature_c + 45.0) * FULL / 175.0),
        )

    def start(self) -> Steps[None]:
        """See `Driver`. Has the chip test its hot plate and its metal oxide, and heats it with a first measurement."""
        bus = self._buses.i2c(self._bus_name)
        self._chip = chip = SensirionChip(bus, self._bus_name, self._settings.address)
        (features,) = yield from chip.ask_identity(FEATURES, 1, FEATURES_S, "SGP40")
        found = features & FEATURES_MASK
        if found != SGP40_FEATURES:
            name = "is an SGP41" if found == SGP41_FEATURES else "is no SGP40"
            raise chip.error(f"{name}: its features are 0x{features:04x}; fit an SGP40", Quality.WRONG_CHIP)
        (result,) = yield from chip.ask(SELF_TEST, 1, SELF_TEST_S)
        if result != PASSED:
            what = f"finds its hot plate or its metal oxide broken (self-test 0x{result:04x}); replace it"
            raise chip.error(what, Quality.OPEN_CIRCUIT)
        yield from chip.ask(MEASURE, 1, MEASURE_S, *self._words)
        self._warm_s = self._clock() + self._settings.warm_up_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 30 ms; the hot plate stays on until the driver is closed."""
        chip = self._chip
        if chip is None:
            raise SensorError(f"bus {self._bus_name}: the SGP40 was not started")
        (raw,) = yield from chip.ask(MEASURE, 1, MEASURE_S, *self._words)
        if raw in (0, FULL):
            what = f"gives {raw}, which no air makes; replace it"
            raise chip.error(what, Quality.OUT_OF_RANGE)
        quality = Quality.UNSTABLE if self._clock() < self._warm_s else Quality.GOOD
        return [Reading("voc_raw", raw, "1", quality=quality)]

    def close(self) -> None:
        """See `Driver`. Turns the hot plate off."""
        chip, self._chip = self._chip, None
        if chip is not None:
            with suppress(BusError):  # a chip that is away heats nothing
                chip.send(HEATER_OFF)


def _identify(bus: I2cBus, address: int) -> bool:
    found = answers(bus, address, FEATURES, 1)
    return found is not None and found[0] & FEATURES_MASK == SGP40_FEATURES


KIND = DriverKind(
    title="Sensirion SGP40: raw signal of volatile organic compounds",
    settings=Sgp40Settings,
    build=Sgp40,
    families=("i2c",),
    quantities=(Quantity("voc_raw", "1", 0.0, float(FULL), "ticks, proportional to the logarithm of a resistance"),),
    addresses=(ADDRESS,),
    identify=_identify,
)
