"""The driver of the AHT20.

Source: Aosong (ASAIR), AHT20 Product manuals: section 5.3 (commands and bits of the status), 5.4 (sequence and times;
checksum: polynomial 0x31, initial value 0xFF), 5.5 (soft reset), 6 (formulas).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.errors import SensorError
from wayside_edge.hal.checksum import crc8
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

ADDRESS = 0x38
RESET, STATUS = b"\xba", b"\x71"
INITIALISE, MEASURE = b"\xbe\x08\x00", b"\xac\x33\x00"
BUSY, CALIBRATED = 0x80, 0x08
"""Bits of the status."""
ANSWER = 7
"""Status, 20 bits of humidity, 20 bits of temperature, checksum."""
RESET_S, INITIALISE_S, MEASURE_S = 0.020, 0.010, 0.080
POLLS, POLL_S = 10, 0.010
POLYNOMIAL, INITIAL = 0x31, 0xFF
FULL = 1 << 20
MIN_C, MAX_C = -40.0, 85.0
MARGIN_C = 5.0
"""What lies further beyond the operating range comes from no measurement: code 0 is -50 °C."""


@dataclass(frozen=True, slots=True)
class Aht20Settings:
    """Settings of a sensor of kind `aht20`."""

    address: int = setting("I2C address; all of these chips have 0x38.", ADDRESS, choices=(ADDRESS,), hexadecimal=True)


class Aht20:
    """An AHT20 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Aht20Settings, bus: str, buses: BusProvider) -> None:
        self._address = settings.address
        self._bus_name = bus
        self._buses = buses
        self._bus: I2cBus | None = None

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, and has it load its calibration when it has not."""
        self._bus = bus = self._buses.i2c(self._bus_name)
        bus.write(self._address, RESET)
        yield RESET_S
        if not self._status(bus) & CALIBRATED:
            bus.write(self._address, INITIALISE)
            yield INITIALISE_S
        status = self._status(bus)
        if not status & CALIBRATED:
            what = f"is no AHT20, or it is broken: it does not load its calibration (status 0x{status:02x})"
            raise self._error(what, Quality.WRONG_CHIP)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 80 ms."""
        bus = self._bus
        if bus is None:
            raise self._error("was not started")
        bus.write(self._address, MEASURE)
        yield MEASURE_S
        for _ in range(POLLS):
            data = bus.read(self._address, ANSWER)
            if not data[0] & BUSY:
                return self._readings(data)
            yield POLL_S
        raise self._error(f"did not finish a measurement in {MEASURE_S + POLLS * POLL_S:.2g} s", Quality.NOT_READY)

    def close(self) -> None:
        """See `Driver`. The chip sleeps by itself between measurements."""
        self._bus = None

    def _status(self, bus: I2cBus) -> int:
        return bus.write_read(self._address, STATUS, 1)[0]

    def _readings(self, data: bytes) -> list[Reading]:
        if crc8(data[:6], POLYNOMIAL, INITIAL) != data[6]:
            fix = "look for noise on the wires; an AHT10 or AHT15 sends no checksum and cannot be used"
            raise self._error(f"sent a checksum that does not fit its data ({data.hex()}); {fix}", Quality.CHECKSUM)
        if not data[0] & CALIBRATED:
            raise self._error("lost its calibration: did its power fail?", Quality.POWER_LOST)
        raw_h = data[1] << 12 | data[2] << 4 | data[3] >> 4
        raw_t = (data[3] & 0x0F) << 16 | data[4] << 8 | data[5]
        celsius = raw_t / FULL * 200.0 - 50.0
        if not MIN_C - MARGIN_C <= celsius <= MAX_C + MARGIN_C:
            raise self._error(
                f"gives {celsius:.2f} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE
            )
        wet = Quality.CLIPPED if raw_h in (0, FULL - 1) else Quality.GOOD
        return [
            Reading("temperature", celsius, "Cel", decimals=2),
            Reading("humidity", raw_h / FULL * 100.0, "%", decimals=2, quality=wet),
        ]

    def _error(self, what: str, quality: Quality = Quality.INVALID) -> SensorError:
        return SensorError(f"bus {self._bus_name}, address 0x{self._address:02x}: the chip {what}", quality)


def _identify(bus: I2cBus, address: int) -> bool:
    # The checksum over its last measurement; port expanders and touch panels that share the address have none.
    data = bus.read(address, ANSWER)
    return len(set(data)) > 1 and crc8(data[:6], POLYNOMIAL, INITIAL) == data[6]


KIND = DriverKind(
    title="Aosong AHT20 and AHT21: temperature and humidity",
    settings=Aht20Settings,
    build=Aht20,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.3 °C"),
        Quantity("humidity", "%", 0.0, 100.0, "±2 %"),
    ),
    addresses=(ADDRESS,),
    identify=_identify,
)
"""Ranges and accuracies: data sheet, typical, at 25 °C."""
