"""Sensors of the kernel's Industrial I/O.

Source: Linux, Documentation/ABI/testing/sysfs-bus-iio: names of channels, units, (raw + offset) * scale.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from math import degrees
from typing import Final, NamedTuple

from wayside_edge.drivers.kernel.driver import Channel, KernelSensor, KernelSettings, Source, there
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.sysfs import SysfsDevice
from wayside_edge.ports import DriverKind, Quantity
from wayside_shared.quality import Quality


class Meaning(NamedTuple):
    """What a type of channel measures: the name of its series, our unit, that in terms of the kernel's, digits."""

    name: str
    unit: str
    factor: float
    decimals: int | None = None


MEANINGS: Final[Mapping[str, Meaning]] = {
    "accel": Meaning("acceleration", "m/s2", 1.0, 5),
    "angl": Meaning("angle", "deg", degrees(1.0), 4),
    "anglvel": Meaning("rotation", "deg/s", degrees(1.0), 4),
    "capacitance": Meaning("capacitance", "nF", 1.0),
    "concentration": Meaning("concentration", "[ppm]", 1e4, 3),
    "current": Meaning("current", "A", 1e-3, 6),
    "distance": Meaning("distance", "m", 1.0, 6),
    "electricalconductivity": Meaning("conductivity", "S/m", 1.0),
    "energy": Meaning("energy", "J", 1.0),
    "gravity": Meaning("gravity", "m/s2", 1.0, 5),
    "humidityrelative": Meaning("humidity", "%", 1e-3, 3),
    "illuminance": Meaning("illuminance", "lx", 1.0, 4),
    "incli": Meaning("inclination", "deg", 1.0),
    "magn": Meaning("magnetic_field", "uT", 100.0, 4),
    "massconcentration": Meaning("mass_concentration", "ug/m3", 1.0, 3),
    "ph": Meaning("ph", "[pH]", 1.0),
    "power": Meaning("power", "W", 1e-3, 6),
    "pressure": Meaning("pressure", "hPa", 10.0, 5),
    "proximity": Meaning("proximity", "m", 1.0),
    "resistance": Meaning("resistance", "Ohm", 1.0, 3),
    "temp": Meaning("temperature", "Cel", 1e-3, 3),
    "velocity": Meaning("velocity", "m/s", 1.0),
    "voltage": Meaning("voltage", "V", 1e-3, 9),
}
"""The kernel's units are m°C, milli-percent, kPa, mV, mA, mW, percent of a substance, rad, rad/s, gauss."""

QUIRKS: Final[Mapping[tuple[str, str], float]] = {("bme680", "humidityrelative"): 1.0}
"""What drivers do otherwise than the ABI says: bme680 gives percent (drivers/iio/chemical/bme680_core.c,
__bme680_read_raw)."""

PROCESSED: Final = ("current",)
"""Whose raw values, by the ABI, are in the kernel's unit already where neither a scale nor an offset is."""

SINGLE_WIRE: Final = "dht11"
SINGLE_WIRE_FAULTS: Final[Mapping[int, tuple[Quality, str]]] = {
    errno.EIO: (Quality.CHECKSUM, "the bits did not decode; a shorter wire or a stronger pull-up helps"),
    errno.ETIMEDOUT: (Quality.NOT_READY, "too few edges came: check the wiring; now and then it happens to a busy CPU"),
}
"""drivers/iio/humidity/dht11.c: dht11_decode and dht11_read_raw. The kernel logs details."""

FILE: Final = re.compile(r"in_(.+)_(raw|input)")
DERIVED: Final = ("_mean", "_peak", "_trough")
KIND_OF: Final = re.compile(r"([a-z]+)(\d*)(?:-[a-z]+(\d+))?(?:_(.+))?")


def channels(device: SysfsDevice, attributes: Sequence[str]) -> Mapping[str, Channel]:
    """The channels of an IIO device; a processed value goes before a raw one."""
    found: dict[str, Channel] = {}
    for attribute in sorted(attributes):  # `…_input` comes before `…_raw`
        match = FILE.fullmatch(attribute)
        if match is None or match[1] in found or match[1].endswith(DERIVED):
            continue
        parts = KIND_OF.fullmatch(match[1])
        if parts is not None:
            found[match[1]] = _channel(device, attribute, parts, attributes)
    return found


def _channel(device: SysfsDevice, attribute: str, parts: "re.Match[str]", attributes: Sequence[str]) -> Channel:
    kind, number, other, modifier = parts.groups()
    meaning = MEANINGS.get(kind, Meaning(kind, "1", 1.0))
    numbers = "-".join(part for part in (number, other) if part)
    name = "_".join(part for part in (meaning.name, numbers, modifier) if part)
    factor = QUIRKS.get((device.name, kind), meaning.factor)
    scale = _shared(parts, "scale", attributes)
    offset = _shared(parts, "offset", attributes)
    if attribute.endswith("_input") or (kind in PROCESSED and scale is None and offset is None):
        return Channel(name, meaning.unit, meaning.decimals, lambda source: _number(source, attribute) * factor)
    if scale is None:  # counts of whatever the chip counts
        return Channel(name, "1", None, lambda source: _number(source, attribute))

    def value(source: SysfsDevice) -> float:
        shift = source.number(offset) if offset is not None else 0.0
        return (_number(source, attribute) + shift) * source.number(scale) * factor

    return Channel(name, meaning.unit, meaning.decimals, value)


def _shared(parts: "re.Match[str]", what: str, attributes: Sequence[str]) -> str | None:
    """The attribute `what` of a channel: its own, or the one that it shares with all of its type."""
    whole, (kind, _, other, _) = parts[0], parts.groups()
    names = [whole, re.sub(r"\d+", "", whole), *([kind] if other is None else [])]
    return next((file for file in (f"in_{name}_{what}" for name in names) if file in attributes), None)


def _number(device: SysfsDevice, attribute: str) -> float:
    try:
        return device.number(attribute)
    except BusError as error:
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        fault = SINGLE_WIRE_FAULTS.get(number or 0)
        if device.name.split("@")[0] == SINGLE_WIRE and fault is not None:
            raise SensorError(f"{device.name} at {device.at}, {attribute}: {fault[1]}", fault[0]) from error
        raise


SOURCE: Final = Source(
    "iio",
    "bus/iio/devices/iio:device*",
    "name",
    channels,
    "load its driver, as with dtoverlay=i2c-sensor,bme280 in config.txt of a Raspberry Pi",
)

KIND = DriverKind(
    title="Whatever the kernel has an Industrial I/O driver for: DHT11, DHT22, BME680 and hundreds more",
    settings=KernelSettings,
    build=lambda settings, _bus, _buses: KernelSensor(settings, SOURCE),
    quantities=(
        Quantity("temperature*", "Cel", -273.15, 2000.0, "the chip's"),
        Quantity("humidity*", "%", 0.0, 100.0, "the chip's"),
        Quantity("pressure*", "hPa", 0.0, 1e6, "the chip's"),
        Quantity("*", "", -1e12, 1e12, "the chip's"),
    ),
    there=lambda: there(SOURCE),
)
"""What no chip exceeds; the kernel's drivers know their chips' limits."""
