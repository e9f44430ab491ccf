"""Which driver a configuration means: one line a driver, loaded only when named."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wayside_edge.hal.system import System
from wayside_edge.ports import BusProvider, Driver
from wayside_shared.settings import Table, from_table, remainder, setting, suggestion


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
    options: Table = remainder("Settings of the driver.")


@dataclass(frozen=True, slots=True)
class DriverKind:
    """How a kind of driver is configured and built.

    Args:
        settings: its settings class.
        build: makes a driver from such settings, the bus's name and the buses; does no I/O.
        on_bus: whether it is a chip on a bus.
    """

    settings: type[Any]
    build: Callable[[Any, str, BusProvider], Driver]
    on_bus: bool


def _bme280() -> DriverKind:
    from wayside_edge.drivers.bme280 import Bme280, Bme280Settings

    return DriverKind(Bme280Settings, Bme280, on_bus=True)


def _host() -> DriverKind:
    from wayside_edge.drivers.host import Host, HostSettings

    return DriverKind(HostSettings, lambda settings, _bus, _buses: Host(settings, System()), on_bus=False)


def _replay() -> DriverKind:
    from wayside_edge.drivers.replay import Replay, ReplaySettings

    return DriverKind(ReplaySettings, lambda settings, _bus, _buses: Replay(settings), on_bus=False)


DRIVERS: dict[str, Callable[[], DriverKind]] = {
    "bme280": _bme280,
    "host": _host,
    "replay": _replay,
}


def build(sensor: SensorSettings, buses: BusProvider) -> Driver:
    """The driver that `sensor` describes, not started.

    Raises:
        ConfigError: its kind or one of its keys is unknown, a value is wrong, or a bus is missing or superfluous.
    """
    loader = DRIVERS.get(sensor.kind)
    if loader is None:
        raise sensor.options.error(
            f"unknown sensor kind {sensor.kind!r}{suggestion(sensor.kind, list(DRIVERS))}", "kind"
        )
    kind = loader()
    if kind.on_bus and sensor.bus is None:
        raise sensor.options.error(f"'bus' is missing: a {sensor.kind} needs the name of the bus it is on")
    if not kind.on_bus and sensor.bus is not None:
        raise sensor.options.error(f"a sensor of kind {sensor.kind} is on no bus; remove 'bus'", "bus")
    return kind.build(from_table(kind.settings, sensor.options), sensor.bus or "", buses)
