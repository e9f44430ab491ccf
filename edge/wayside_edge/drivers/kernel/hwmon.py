"""Sensors of the kernel's hardware monitoring.

Source: Linux, Documentation/ABI/testing/sysfs-class-hwmon: names and units.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from wayside_edge.drivers.kernel.driver import Channel, KernelSensor, KernelSettings, Source, there
from wayside_edge.errors import SensorError
from wayside_edge.hal.sysfs import SysfsDevice
from wayside_edge.ports import DriverKind, Quantity
from wayside_shared.quality import Quality


class Meaning(NamedTuple):
    """What a type of channel measures: the name of its series, our unit, that in terms of the kernel's, digits."""

    name: str
    unit: str
    factor: float
    decimals: int


MEANINGS: Final[Mapping[str, Meaning]] = {
    "curr": Meaning("current", "A", 1e-3, 3),
    "energy": Meaning("energy", "J", 1e-6, 6),
    "fan": Meaning("fan", "/min", 1.0, 0),
    "freq": Meaning("frequency", "Hz", 1.0, 0),
    "humidity": Meaning("humidity", "%", 1e-3, 3),
    "in": Meaning("voltage", "V", 1e-3, 3),
    "power": Meaning("power", "W", 1e-6, 6),
    "temp": Meaning("temperature", "Cel", 1e-3, 3),
}
"""The kernel's units are mA, µJ, turns a minute, Hz, milli-percent, mV, µW and m°C."""

FILE: Final = re.compile(r"([a-z]+)(\d+)_(input|average)")


def channels(_device: SysfsDevice, attributes: Sequence[str]) -> Mapping[str, Channel]:
    """The channels of a hwmon device; the only one of its type has no number."""
    there = set(attributes)
    matches = [match for match in map(FILE.fullmatch, attributes) if match is not None and match[1] in MEANINGS]
    # Some power meters have no momentary value.
    matches = [match for match in matches if match[3] == "input" or f"{match[1]}{match[2]}_input" not in there]
    count = Counter(match[1] for match in matches)
    found: dict[str, Channel] = {}
    for match in matches:
        meaning = MEANINGS[match[1]]
        name = f"{meaning.name}_{match[2]}" if count[match[1]] > 1 else meaning.name
        key = f"{match[1]}{match[2]}"
        found[key] = _channel(name, meaning, match[0], f"{key}_fault" if f"{key}_fault" in there else None)
    return found


def _channel(name: str, meaning: Meaning, attribute: str, fault: str | None) -> Channel:
    def value(device: SysfsDevice) -> float:
        if fault is not None and device.number(fault):
            what = f"{fault} is set: the element is disconnected or shorted; check its wires"
            raise SensorError(f"{device.name} at {device.at}, {attribute}: {what}", Quality.OPEN_CIRCUIT)
        return device.number(attribute) * meaning.factor

    return Channel(name, meaning.unit, meaning.decimals, value)


SOURCE: Final = Source(
    "hwmon", "class/hwmon/hwmon*", "name", channels, "load its driver: dtoverlay in config.txt, or modprobe"
)

KIND = DriverKind(
    title="Whatever the kernel has a hardware monitoring driver for: SHT3x, LM75, power supplies, fans",
    settings=KernelSettings,
    build=lambda settings, _bus, _buses: KernelSensor(settings, SOURCE),
    quantities=(
        Quantity("temperature*", "Cel", -273.15, 2000.0, "the chip's"),
        Quantity("humidity*", "%", 0.0, 100.0, "the chip's"),
        Quantity("*", "", -1e12, 1e12, "the chip's"),
    ),
    there=lambda: there(SOURCE),
)
"""What no chip exceeds; the kernel's drivers know their chips' limits."""
