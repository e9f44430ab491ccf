"""Which driver a configuration means: one line a driver, loaded only when named."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from wayside_edge.pipeline.settings import ReadingSettings
from wayside_edge.pipeline.units import conversion
from wayside_edge.ports import BusProvider, Driver, DriverKind
from wayside_shared.settings import Table, from_table, remainder, setting, suggestion

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """`[[sensor]]`: the keys of every kind; the others belong to the driver."""

    name: str = setting(
        "Name of the sensor; its series are named <sensor>.<reading>.",
        sample="greenhouse",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}",
    )
    kind: str = setting("Kind of sensor: the driver that reads it.", sample="host")
    interval_s: float = setting("Time from one read to the next, in seconds.", 1.0, minimum=0.001, maximum=86_400.0)
    bus: str | None = setting("Name of the bus it is on, for chips.", None)
    deadline_s: float = setting(
        "Most that a read may take, in seconds: one that takes longer has failed.", 10.0, minimum=0.01, maximum=3600.0
    )
    reading: list[ReadingSettings] = setting("What to do with its readings before they are sent.", factory=list)
    options: Table = remainder("Settings of the driver.")


DRIVERS: Mapping[str, str] = {
    "ads1115": "wayside_edge.drivers.ads1115",
    "adxl345": "wayside_edge.drivers.adxl345",
    "aht20": "wayside_edge.drivers.aht20",
    "bh1750": "wayside_edge.drivers.bh1750",
    "bme280": "wayside_edge.drivers.bme280",
    "bme680": "wayside_edge.drivers.bme680",
    "bmp280": "wayside_edge.drivers.bme280.bmp280",
    "digital_input": "wayside_edge.drivers.gpio.digital_input",
    "digital_output": "wayside_edge.drivers.gpio.digital_output",
    "ds18b20": "wayside_edge.drivers.ds18b20",
    "host": "wayside_edge.drivers.host",
    "htu21d": "wayside_edge.drivers.si7021.htu21d",
    "hwmon": "wayside_edge.drivers.kernel.hwmon",
    "iio": "wayside_edge.drivers.kernel.iio",
    "ina219": "wayside_edge.drivers.ina219",
    "ina226": "wayside_edge.drivers.ina226",
    "lm75": "wayside_edge.drivers.lm75",
    "max31855": "wayside_edge.drivers.max31855",
    "max31865": "wayside_edge.drivers.max31865",
    "max6675": "wayside_edge.drivers.max6675",
    "mcp23017": "wayside_edge.drivers.mcp23017",
    "mcp3008": "wayside_edge.drivers.mcp3008",
    "mcp9808": "wayside_edge.drivers.mcp9808",
    "modbus": "wayside_edge.drivers.modbus",
    "mpu6050": "wayside_edge.drivers.mpu6050",
    "pms5003": "wayside_edge.drivers.pms5003",
    "pulse_counter": "wayside_edge.drivers.gpio.pulse_counter",
    "pwm_output": "wayside_edge.drivers.pwm",
    "replay": "wayside_edge.drivers.replay",
    "scd4x": "wayside_edge.drivers.scd4x",
    "sgp40": "wayside_edge.drivers.sgp40",
    "sht3x": "wayside_edge.drivers.sht3x",
    "sht4x": "wayside_edge.drivers.sht4x",
    "si7021": "wayside_edge.drivers.si7021",
    "thermal": "wayside_edge.drivers.kernel.thermal",
    "tmp102": "wayside_edge.drivers.tmp102",
    "tmp117": "wayside_edge.drivers.tmp117",
    "veml7700": "wayside_edge.drivers.veml7700",
    "vl53l0x": "wayside_edge.drivers.vl53l0x",
}
"""The module of each kind of driver; it has a `DriverKind` named `KIND`."""

ENTRY_POINTS = "wayside.drivers"
"""Packages register drivers in this group: the name of the kind, and the object that is its `DriverKind`."""

PLACES: Mapping[str, str] = {"i2c": "address", "spi": "chip_select", "gpio": "line"}
"""By family of bus, the setting of a sensor that says where on it it is: one sensor a place."""


def kinds() -> list[str]:
    """Every kind of driver that can be configured: ours, then those of installed packages."""
    return [*DRIVERS, *sorted(_installed())]


def load(name: str) -> DriverKind | None:
    """The driver kind `name`, imported now; None when nobody has it."""
    if name in DRIVERS:
        found: DriverKind = importlib.import_module(DRIVERS[name]).KIND
        return found
    point = _installed().get(name)
    return point.load() if point is not None else None


def build(sensor: SensorSettings, buses: BusProvider) -> tuple[Driver, DriverKind]:
    """The driver that `sensor` describes, not started, and its kind.

    Raises:
        ConfigError: its kind or one of its keys is unknown, a value is wrong, a FIFO would be full before it is
            read, or a bus is missing, superfluous or of the wrong family.
    """
    kind = load(sensor.kind)
    if kind is None:
        raise sensor.options.error(f"unknown sensor kind {sensor.kind!r}{suggestion(sensor.kind, kinds())}", "kind")
    wanted = " or ".join(kind.families)
    if kind.families and sensor.bus is None:
        raise sensor.options.error(f"'bus' is missing: a {sensor.kind} needs the name of the {wanted} bus it is on")
    if not kind.families and sensor.bus is not None:
        raise sensor.options.error(f"a sensor of kind {sensor.kind} is on no bus; remove 'bus'", "bus")
    if sensor.bus is not None and buses.family(sensor.bus) not in kind.families:
        raise sensor.options.error(f"a {sensor.kind} needs a bus of family {wanted}, and {sensor.bus!r} is none", "bus")
    for reading in sensor.reading:
        _check_reading(sensor, kind, reading)
    settings = from_table(kind.settings, sensor.options)
    _check_interval(sensor, kind, settings)
    return kind.build(settings, sensor.bus or "", buses), kind


def _check_interval(sensor: SensorSettings, kind: DriverKind, settings: Any) -> None:
    """Refuse an interval at which samples are lost at every read."""
    full_s = kind.overflows_after_s(settings) if kind.overflows_after_s is not None else None
    if full_s is not None and sensor.interval_s >= full_s:
        what = f"the chip's FIFO is full after {full_s:.3g} s; read it at least twice as often, or collect more slowly"
        raise sensor.options.error(f"interval_s = {sensor.interval_s:g}: {what}", "interval_s")


def _check_reading(sensor: SensorSettings, kind: DriverKind, reading: ReadingSettings) -> None:
    """Refuse a table for a reading that the driver does not give, or for a unit that it cannot be converted to."""
    given = [q for q in kind.quantities if fnmatchcase(q.name, reading.name) or fnmatchcase(reading.name, q.name)]
    if kind.quantities and not given:
        names = [quantity.name for quantity in kind.quantities]
        what = f"a {sensor.kind} gives no reading {reading.name!r}{suggestion(reading.name, names)}"
        raise sensor.options.error(what, "reading")
    for quantity in given:
        if reading.unit and quantity.unit and conversion(quantity.unit, reading.unit) is None:
            what = f"{quantity.name} is in {quantity.unit}, which cannot be converted to {reading.unit}"
            raise sensor.options.error(f"{what}; correct the unit", "reading")


def place(sensor: SensorSettings, buses: BusProvider) -> str | None:
    """Where on its bus `sensor` is, as `address 0x76`, `chip_select 0`, `line 17`; None when it has no such place.

    Args:
        sensor: one that `build` takes.
        buses: as there.
    """
    kind = load(sensor.kind)
    if kind is None or sensor.bus is None:
        return None
    name = PLACES.get(buses.family(sensor.bus), "")
    value = getattr(from_table(kind.settings, sensor.options), name, None)
    if value is None:
        return None
    return f"{name} 0x{value:02x}" if name == "address" else f"{name} {value}"


def _installed() -> "Mapping[str, EntryPoint]":
    from importlib import metadata  # brings the e-mail package along: a megabyte that real boards need not carry

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
