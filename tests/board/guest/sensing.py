"""A shipped driver on one bus: run in the guest on the kernel's, and on the host on a simulated one to compare."""

import time
from collections.abc import Mapping
from typing import Any

from wayside_edge import registry
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.registry import SensorSettings
from wayside_shared.settings import Table
from wayside_testkit.sensing import finish


def measure(bus: Mapping[str, Any] | None, sensor: Mapping[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Start a driver, read once and close it; value, unit and quality by name of the reading.

    Args:
        bus: kind and the kind's own keys of a `[[bus]]` table; None for a driver that is on none.
        sensor: kind and the driver's own keys of a `[[sensor]]` table.
    """
    options = dict(sensor)
    kind = options.pop("kind")
    name = None if bus is None else "main"
    buses = Buses([] if bus is None else [_table(bus)])
    driver, _ = registry.build(SensorSettings(name=kind, kind=kind, bus=name, options=Table(options)), buses)
    try:
        finish(driver.start(), time.sleep)
        readings = finish(driver.read(), time.sleep)
        return {reading.name: (reading.value, reading.unit, reading.quality.name) for reading in readings}
    finally:
        driver.close()
        buses.close()


def measure_soon(sensor: Mapping[str, Any], within_s: float) -> dict[str, tuple[Any, str, str]]:
    """As `measure`, through a kernel driver whose chip may not have made its first measurement."""
    until_s = time.monotonic() + within_s
    while True:
        try:
            return measure(None, sensor)
        except (BusError, SensorError):
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)


def _table(bus: Mapping[str, Any]) -> BusSettings:
    options = dict(bus)
    return BusSettings(name="main", kind=options.pop("kind"), options=Table(options))
