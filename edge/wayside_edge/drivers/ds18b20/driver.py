"""The driver of DS18B20, DS18S20, DS1822 and DS28EA00, over the kernel's w1_therm.

Source: Maxim, DS18B20 data sheet, 19-7487: "Operation - Measuring Temperature" with Table 1 (the power-on value
of 85 °C), "Memory" (scratchpad) and "Configuration Register" with Table 2 (resolution, conversion time).
Linux, drivers/w1/slaves/w1_therm.c: the lines of `w1_slave`, and how a conversion that failed shows (convert_t).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wayside_edge.errors import DeviceAbsentError, SensorError
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, W1Bus
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

POWER_ON_MC: Final = 85_000
"""What the chip holds from power-on to its first conversion, in thousandths of a degree Celsius."""
NEVER_CONVERTED_MC: Final = 127_937
"""0x07FF: what some hold after a conversion that their supply did not last for (w1_therm.c, convert_t)."""
COUNT: Final = 6
CONVERTED: Final = 0x10
NOT_CONVERTED: Final = 0x0C
"""Byte 6, "reserved": 0x0C from power-on on; after a conversion that ended at a whole degree it is 0x10."""
CONFIGURATION: Final = 4
FIXED: Final = "10-"
"""The family of the DS18S20, whose scratchpad has no configuration."""
RESOLUTIONS: Final = {9: 1, 10: 2, 11: 3, 12: 3}
"""Bits, and the digits after the point that tell the steps of 0.5, 0.25, 0.125 and 0.0625 °C apart; the kernel gives
three."""
PAGE: Final = re.compile(r"((?:[0-9a-f]{2} ){9}): crc=[0-9a-f]{2} (YES|NO)\n(?:[0-9a-f]{2} ){9}t=(-?\d+)")


@dataclass(frozen=True, slots=True)
class Ds18b20Settings:
    """Settings of a sensor of kind `ds18b20`."""

    id: str = setting(
        "Family and serial number, as the kernel names it: `ls /sys/bus/w1/devices`.",
        sample="28-0316a2791234",
        pattern=r"(10|22|28|42)-[0-9a-f]{12}",
    )
    resolution: int | None = setting(
        "Bits, 9 to 12: a conversion takes 94, 188, 375 or 750 ms. Without one the chip keeps what it has, usually 12.",
        None,
        choices=tuple(RESOLUTIONS),
    )

    def __post_init__(self) -> None:
        if self.resolution is not None and self.id.startswith(FIXED):
            raise ValueError("a DS18S20 has one resolution only; remove 'resolution'")


class Ds18b20:
    """One thermometer on a 1-Wire bus.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
    """

    def __init__(self, settings: Ds18b20Settings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._bus: W1Bus | None = None

    def start(self) -> None:
        """See `Driver`."""
        bus = self._buses.w1(self._name)
        there = bus.ids()
        if self._settings.id not in there:
            found = ", ".join(there) or "none at all"
            raise DeviceAbsentError(
                f"{self._where}: not found; check its wiring, the pull-up of 4.7 kΩ and 'id'; there are: {found}"
            )
        if self._settings.resolution is not None:
            self._set_resolution(bus, self._settings.resolution)
        self._bus = bus

    def read(self) -> Sequence[Reading]:
        """See `Driver`."""
        if self._bus is None:
            raise SensorError(f"{self._where}: was not started")
        age_ns = self._bus.converted_ns(self._settings.id)
        scratchpad, thousandths = self._page(self._bus.read(self._settings.id, "w1_slave"))
        self._check(scratchpad, thousandths)
        decimals = 3 if self._settings.id.startswith(FIXED) else RESOLUTIONS[_bits(scratchpad)]
        return [Reading("temperature", thousandths / 1000, "Cel", decimals=decimals, age_ns=age_ns)]

    def close(self) -> None:
        """See `Driver`."""
        self._bus = None

    @property
    def _where(self) -> str:
        return f"bus {self._name}, device {self._settings.id}"

    def _page(self, text: str) -> tuple[bytes, int]:
        """The scratchpad, and the temperature in thousandths of a degree Celsius."""
        if not text:  # this is how the kernel says that it tried five times
            what = "does not answer, or only with wrong checksums; check plug, wire and pull-up"
            raise self._error(what, Quality.ABSENT)
        found = PAGE.match(text)
        if found is None:
            raise self._error(f"the kernel says {text[:80]!r}, which no thermometer does; check 'id'", Quality.INVALID)
        scratchpad = bytes.fromhex(found[1])
        if found[2] != "YES":
            what = f"sent a checksum that does not fit ({scratchpad.hex()}); a shorter wire or a stronger pull-up helps"
            raise self._error(what, Quality.CHECKSUM)
        return scratchpad, int(found[3])

    def _check(self, scratchpad: bytes, thousandths: int) -> None:
        if not any(scratchpad):  # the checksum of zeros is zero
            raise self._error("reads as zeros: the data line is shorted to ground", Quality.BUS_FAULT)
        count = scratchpad[COUNT]
        lost = (thousandths == POWER_ON_MC and count != CONVERTED) or (
            thousandths == NEVER_CONVERTED_MC and count == NOT_CONVERTED
        )
        if lost:
            what = "holds its power-on value: its supply fails in conversions; give it 3 V on VDD"
            raise self._error(what, Quality.POWER_LOST)
        wanted = self._settings.resolution
        if wanted is not None and _bits(scratchpad) != wanted:
            raise self._error(f"lost its resolution of {wanted} bits: its supply failed", Quality.POWER_LOST)

    def _set_resolution(self, bus: W1Bus, bits: int) -> None:
        if not bus.has(self._settings.id, "resolution"):
            raise self._error("this kernel cannot set the resolution; remove 'resolution'", Quality.INVALID)
        if bus.read(self._settings.id, "resolution") != str(bits):
            bus.write(self._settings.id, "resolution", f"{bits}\n")

    def _error(self, what: str, quality: Quality) -> SensorError:
        return SensorError(f"{self._where}: {what}", quality)


def _bits(scratchpad: bytes) -> int:
    return 9 + (scratchpad[CONFIGURATION] >> 5 & 3)


KIND = DriverKind(
    title="Maxim DS18B20, DS18S20, DS1822 and DS28EA00 on 1-Wire: temperature",
    settings=Ds18b20Settings,
    build=Ds18b20,
    families=("w1",),
    quantities=(Quantity("temperature", "Cel", -55.0, 125.0, "±0.5 °C from -10 to 85 °C, else ±2 °C"),),
)
"""Range and accuracy: DS18B20 data sheet, DC Electrical Characteristics, "Thermometer Error"."""
