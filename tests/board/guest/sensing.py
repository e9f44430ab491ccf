"""A shipped driver on one bus: run in the guest on the kernel's, and on the host on a simulated one to compare."""

import time
from collections.abc import Mapping
from typing import Any

from wayside_edge import registry
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.ports import Driver
from wayside_edge.registry import SensorSettings
from wayside_shared.settings import Table
from wayside_testkit.sensing import finish

_begun: list[tuple[Driver, Buses]] = []


def measure(bus: Mapping[str, Any] | None, sensor: Mapping[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """Start a driver, read once and close it; value, unit and quality by name of the reading.

    Args:
        bus: kind and the kind's own keys of a `[[bus]]` table; None for a driver that is on none.
        sensor: kind and the driver's own keys of a `[[sensor]]` table.
    """
    begin(bus, sensor)
    try:
        return {name: (value, unit, quality) for name, value, unit, quality in read()}
    finally:
        end()


def begin(bus: Mapping[str, Any] | None, sensor: Mapping[str, Any]) -> None:
    """Start a driver; see `measure`. One at a time."""
    options = dict(sensor)
    kind = options.pop("kind")
    name = None if bus is None else "main"
    buses = Buses([] if bus is None else [_table(bus)])
    driver, _ = registry.build(SensorSettings(name=kind, kind=kind, bus=name, options=Table(options)), buses)
    _begun.append((driver, buses))
    try:
        finish(driver.start(), time.sleep)
    except BaseException:
        end()
        raise


def read() -> list[tuple[str, Any, str, str]]:
    """Read the driver that has begun: name, value, unit and quality of each reading."""
    driver, _ = _begun[0]
    return [(each.name, each.value, each.unit, each.quality.name) for each in finish(driver.read(), time.sleep)]


def end() -> None:
    """Close the driver that has begun."""
    driver, buses = _begun.pop()
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
