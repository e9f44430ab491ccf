"""The driver of the Si7021 and the HTU21D.

Source: Silicon Labs, Si7021-A20 data sheet, revision 1.1: longest times in Table 2, commands in Table 11, checksum
(polynomial 0x31, initial value 0) in section 5.1, formulas in 5.1.1 and 5.1.2, user register in 5.2 and 6.1, identity
in 5.3. TE Connectivity (MEAS), HTU21D(F) data sheet: the same under "Communication protocol with HTU21D(F) sensor" and
"Conversion of signal outputs"; longest times in its tables of characteristics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.errors import DeviceAbsentError
from wayside_edge.hal.checksum import crc8
from wayside_edge.hal.chip import I2cDriver
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

ADDRESS = 0x40
RESET, USER_REGISTER = 0xFE, 0xE7
IDENTITY = b"\xfc\xc9"
TEMPERATURE, HUMIDITY = 0xF3, 0xF5
"""Measure, and do not acknowledge reads meanwhile. A second way, 0xE0 for the temperature, has no checksum."""
RESET_S = 0.015
SUPPLY_LOW = 0x40
"""Bit of the user register: the supply was below 1.9 V (Si7021) or 2.25 V (HTU21D) at the last measurement."""
POLYNOMIAL = 0x31
FULL = 65536
MIN_C, MAX_C = -40.0, 125.0
MARGIN_C = 2.0
"""What lies further beyond the operating range comes from no measurement."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the two chips.

    Args:
        name: its name.
        temperature_s: longest time of a measurement at 14 bits.
        humidity_s: the same at 12 bits; the Si7021 measures the temperature for it once more.
        status: bits of a value that are no part of it.
        reserved: reserved bits of the user register, which tell the two apart before anything is written.
    """

    name: str
    temperature_s: float
    humidity_s: float
    status: int
    reserved: int


SI7021 = Part("Si7021", 0.0108, 0.0228, status=0, reserved=0x3A)
HTU21D = Part("HTU21D", 0.050, 0.016, status=0x0003, reserved=0x02)
RESERVED_MASK = 0x3A
SILICON_LABS = {0x00: "Si70xx sample", 0x0D: "Si7013", 0x14: "Si7020", 0x15: "Si7021", 0xFF: "Si70xx sample"}
"""First byte of the second half of the identity (section 5.3). An HTU21D has 0x32 there."""


@dataclass(frozen=True, slots=True)
class Si7021Settings:
    """Settings of a sensor of kind `si7021`."""

    address: int = setting("I2C address; all of these chips have 0x40.", ADDRESS, choices=(ADDRESS,), hexadecimal=True)


@dataclass(frozen=True, slots=True)
class Htu21dSettings:
    """Settings of a sensor of kind `htu21d`."""

    address: int = setting("I2C address; all of these chips have 0x40.", ADDRESS, choices=(ADDRESS,), hexadecimal=True)


class HumidityChip(I2cDriver):
    """A Si7021 or HTU21D on an I2C bus.

    Args:
        part: which of them.
        address: its address.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, part: Part, address: int, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, address)
        self._part = part

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip: 12 bits of humidity, 14 of temperature, no heater."""
        self.connect()
        self.put(RESET)
        yield RESET_S
        data = self._connected().write_read(self._address, IDENTITY, 3)
        if len(set(data)) == 1 or crc8(data[:2], POLYNOMIAL) != data[2]:
            what = f"is no {self._part.name}: it gives {data.hex()} for its identity, without the right checksum"
            raise self.error(f"{what}; check its type, and the wires for noise", Quality.WRONG_CHIP)
        found = SILICON_LABS.get(data[0])
        if self._part is HTU21D and found is not None:
            raise self.error(f'is a {found} (0x{data[0]:02x}); say kind = "si7021"', Quality.WRONG_CHIP)
        if self._part is SI7021 and found is None:
            raise self.error(f'is no Si7021 (0x{data[0]:02x}); an HTU21D wants kind = "htu21d"', Quality.WRONG_CHIP)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 34 ms, or 66 ms with an HTU21D."""
        part = self._part
        raw_t = yield from self._measure(TEMPERATURE, part.temperature_s)
        raw_h = yield from self._measure(HUMIDITY, part.humidity_s)
        low = self.get(USER_REGISTER, 1)[0] & SUPPLY_LOW
        return self._readings(raw_t, raw_h, Quality.UNSTABLE if low else Quality.GOOD)

    def close(self) -> None:
        """See `Driver`. The chip sleeps by itself between measurements."""
        self.disconnect()

    def _measure(self, command: int, wait_s: float) -> Steps[int]:
        self.put(command)
        data = b""

        def ready() -> bool:
            nonlocal data
            try:
                data = self.receive(3)
            except DeviceAbsentError:  # this is how it says that it is busy; it was there a moment ago
                return False
            return True

        yield from self.poll(ready, wait_s, "did not finish a measurement")
        if crc8(data[:2], POLYNOMIAL) != data[2]:
            what = f"sent a checksum that does not fit its data ({data.hex()}); look for noise on the wires"
            raise self.error(what, Quality.CHECKSUM)
        return int.from_bytes(data[:2], "big") & ~self._part.status

    def _readings(self, raw_t: int, raw_h: int, quality: Quality) -> list[Reading]:
        celsius = 175.72 * raw_t / FULL - 46.85
        if not MIN_C - MARGIN_C <= celsius <= MAX_C + MARGIN_C:
            raise self.error(
                f"gives {celsius:.2f} °C, outside of what it can measure; replace it", Quality.OUT_OF_RANGE
            )
        percent = 125.0 * raw_h / FULL - 6.0
        humidity = min(max(percent, 0.0), 100.0)
        # The formula reaches beyond what there is; the data sheets have it cut at 0 and 100 %.
        wet = Quality.CLIPPED if humidity != percent and quality is Quality.GOOD else quality
        return [
            Reading("temperature", celsius, "Cel", decimals=2, quality=quality),
            Reading("humidity", humidity, "%", decimals=2, quality=wet),
        ]


class Si7021(HumidityChip):
    """A Si7021; see `HumidityChip`."""

    def __init__(self, settings: Si7021Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(SI7021, settings.address, bus, buses)


class Htu21d(HumidityChip):
    """An HTU21D; see `HumidityChip`."""

    def __init__(self, settings: Htu21dSettings, bus: str, buses: BusProvider) -> None:
        super().__init__(HTU21D, settings.address, bus, buses)


def is_part(part: Part, bus: I2cBus, address: int) -> bool:
    """Whether the chip at `address` is a `part`.

    The question for the identity would set the outputs of a PCA9685, which can have this address. So the user register
    is read first, which changes nothing in any chip, and only what has the right reserved bits there is asked.
    """
    user = bus.write_read(address, bytes((USER_REGISTER,)), 1)[0]
    if user & RESERVED_MASK != part.reserved:
        return False
    data = bus.write_read(address, IDENTITY, 3)
    return crc8(data[:2], POLYNOMIAL) == data[2] and (data[0] in SILICON_LABS) == (part is SI7021)


def _identify(bus: I2cBus, address: int) -> bool:
    return is_part(SI7021, bus, address)


KIND = DriverKind(
    title="Silicon Labs Si7021, Si7020 and Si7013: temperature and humidity",
    settings=Si7021Settings,
    build=Si7021,
    families=("i2c",),
    quantities=(
        Quantity("temperature", "Cel", MIN_C, MAX_C, "±0.4 °C from -10 °C to 85 °C"),
        Quantity("humidity", "%", 0.0, 100.0, "±3 % up to 80 %"),
    ),
    addresses=(ADDRESS,),
    identify=_identify,
)
"""Accuracies: data sheet, first page."""
