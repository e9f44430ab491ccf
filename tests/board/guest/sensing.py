"""A shipped driver on one bus: run in the guest on the kernel's, and on the host on a simulated one to compare."""

import time
from collections.abc import Mapping
from typing import Any

from wayside_edge import registry
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.registry import SensorSettings
from wayside_shared.settings import Table
from wayside_testkit.sensing import finish


def measure(bus: Mapping[str, Any], sensor: Mapping[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Start a driver, read once and close it; value, unit and quality by name of the reading.

    Args:
        bus: kind and the kind's own keys of a `[[bus]]` table.
        sensor: kind and the driver's own keys of a `[[sensor]]` table.
    """
    bus, sensor = dict(bus), dict(sensor)
    buses = Buses([BusSettings(name="main", kind=bus.pop("kind"), options=Table(bus))])
    kind = sensor.pop("kind")
    driver, _ = registry.build(SensorSettings(name=kind, kind=kind, bus="main", options=Table(sensor)), buses)
    try:
        finish(driver.start(), time.sleep)
        readings = finish(driver.read(), time.sleep)
        return {reading.name: (reading.value, reading.unit, reading.quality.name) for reading in readings}
    finally:
        driver.close()
        buses.close()
