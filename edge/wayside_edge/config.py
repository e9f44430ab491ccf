"""The agent's configuration: one TOML file, read whole and checked before anything starts."""

import os
import stat
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from wayside_edge import registry
from wayside_edge.compute.settings import StageSettings
from wayside_edge.errors import ConfigError
from wayside_edge.hal.buses import BUS_KINDS, Buses, BusSettings
from wayside_edge.hal.clock import ClockSettings
from wayside_edge.health.settings import HealthSettings, LogSettings, WatchdogSettings
from wayside_edge.identity.settings import IdentitySettings
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.pipeline.settings import BatchSettings, ReadingSettings
from wayside_edge.ports import DriverKind
from wayside_edge.registry import SensorSettings
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.settings import Table, from_toml, remainder, setting, suggestion, to_sample

OWN_SENSOR: Final = "agent"
"""The sensor that the agent's own measurements belong to."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file."""

    uplink: UplinkSettings = setting("The broker, and who this device is.")
    identity: IdentitySettings = setting("How this device proves who it is.", factory=IdentitySettings)
    outbox: OutboxSettings = setting("Where samples wait for the server.", factory=OutboxSettings)
    batch: BatchSettings = setting("When samples are gathered into a batch.", factory=BatchSettings)
    clock: ClockSettings = setting("How far to trust the clock.", factory=ClockSettings)
    log: LogSettings = setting("What to log.", factory=LogSettings)
    watchdog: WatchdogSettings = setting("What ends an agent that hangs.", factory=WatchdogSettings)
    health: HealthSettings = setting("What to measure and tell of the agent itself.", factory=HealthSettings)
    bus: list[BusSettings] = setting("The buses that chips are on.", factory=list)
    sensor: list[SensorSettings] = setting("What to measure.", factory=list)
    stage: list[StageSettings] = setting("What to compute from that.", factory=list)


@dataclass(frozen=True, slots=True)
class UnenrolledSettings:
    """The file of a device that is not enrolled yet: all but `[uplink]`, which `wayside-edge enroll` adds."""

    identity: IdentitySettings = setting("How this device proves who it is.", factory=IdentitySettings)
    outbox: OutboxSettings = setting("Where samples wait for the server.", factory=OutboxSettings)
    batch: BatchSettings = setting("When samples are gathered into a batch.", factory=BatchSettings)
    clock: ClockSettings = setting("How far to trust the clock.", factory=ClockSettings)
    log: LogSettings = setting("What to log.", factory=LogSettings)
    watchdog: WatchdogSettings = setting("What ends an agent that hangs.", factory=WatchdogSettings)
    health: HealthSettings = setting("What to measure and tell of the agent itself.", factory=HealthSettings)
    bus: list[BusSettings] = setting("The buses that chips are on.", factory=list)
    sensor: list[SensorSettings] = setting("What to measure.", factory=list)
    stage: list[StageSettings] = setting("What to compute from that.", factory=list)


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """The part of the file that says what is wired to this board."""

    bus: list[BusSettings] = setting("The buses that chips are on.", factory=list)
    sensor: list[SensorSettings] = setting("What to measure.", factory=list)
    rest: Table = remainder("What the other parts of the agent read.")


def load(path: Path) -> AgentSettings:
    """The settings in the file `path`; every bus, sensor and driver setting in it is checked.

    Raises:
        ConfigError: the file cannot be read or something in it is wrong; one line with file, line and fix.
    """
    return parse(_text(path), str(path))


def load_as_far_as_enrolled(path: Path) -> AgentSettings | UnenrolledSettings:
    """The settings in the file `path`, which has no `[uplink]` on a device that is not enrolled yet.

    Raises:
        ConfigError: as `load`, but for an `[uplink]` that is not there.
    """
    text, source = _text(path), str(path)
    keys = set(from_toml(BoardSettings, text, source).rest.values)
    if not keys <= {field.name for field in fields(UnenrolledSettings)}:
        return parse(text, source)
    settings = from_toml(UnenrolledSettings, text, source)
    _check_whole(settings, source)
    return settings


def load_board(path: Path) -> BoardSettings:
    """Buses and sensors in the file `path`, which need not be whole: that of a device that is not enrolled yet.

    Raises:
        ConfigError: as `load`, as far as it is about these.
    """
    board = from_toml(BoardSettings, _text(path), str(path))
    _check(board)
    return board


def _text(path: Path) -> str:
    try:
        # A pipe in the place of the file would hold up whoever opens it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError("the configuration must be a file", source=str(path))
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the configuration: {reason}", source=str(path)) from error


def parse(text: str, source: str) -> AgentSettings:
    """The settings in `text`; see `load`.

    Args:
        text: the file's content.
        source: its name, for messages.

    Raises:
        ConfigError: as `load`.
    """
    settings = from_toml(AgentSettings, text, source)
    _check_whole(settings, source)
    return settings


def _check_whole(settings: AgentSettings | UnenrolledSettings, source: str) -> None:
    _check(settings)
    _check_stages(settings)
    if settings.health.interval_s:
        for sensor in settings.sensor:
            if sensor.name == OWN_SENSOR:
                what = f"a sensor named {OWN_SENSOR!r}: this is what the agent calls its own measurements"
                raise sensor.options.error(f"{what}; name it otherwise, or say interval_s = 0 under [health]", "name")
    if not settings.sensor:
        raise ConfigError("nothing to measure: add a [[sensor]]", source=source)


def _check_stages(settings: AgentSettings | UnenrolledSettings) -> None:
    """Refuse stages with one name, of sensors or of each other, and settings that no module can be given."""
    names = {OWN_SENSOR, *(sensor.name for sensor in settings.sensor)}
    for stage in settings.stage:
        if stage.name in names:
            what = f"another sensor or stage is named {stage.name!r}; names must differ"
            raise stage.settings.error(what)
        names.add(stage.name)
        if not stage.inputs:
            raise stage.settings.error(f"stage {stage.name!r} has no inputs: name series such as greenhouse.*")
        for key, value in stage.settings.values.items():
            if not isinstance(value, str | int | float | bool) or "\n" in str(value):
                raise stage.settings.error(
                    f"{key} of stage {stage.name!r} must be a text, a number, true or false", key
                )


def _check(settings: AgentSettings | UnenrolledSettings | BoardSettings) -> None:
    buses = Buses(settings.bus)
    _check_places(settings.bus)
    names: set[str] = set()
    places: dict[tuple[str, str], str] = {}
    for sensor in settings.sensor:
        if sensor.name in names:
            raise sensor.options.error(f"a second sensor is named {sensor.name!r}; names must differ", "name")
        names.add(sensor.name)
        known = [bus.name for bus in settings.bus]
        if sensor.bus is not None and sensor.bus not in known:
            raise sensor.options.error(f"no [[bus]] is named {sensor.bus!r}{suggestion(sensor.bus, known)}", "bus")
        registry.build(sensor, buses)
        place = registry.place(sensor, buses)
        if place is None:
            continue
        first = places.setdefault((str(sensor.bus), place), sensor.name)
        if first != sensor.name:
            what = f"{first!r} and {sensor.name!r} are both at {place} of bus {sensor.bus!r}"
            raise sensor.options.error(f"{what}; correct one of them, or remove it", place.partition(" ")[0])


def _check_places(buses: Sequence[BusSettings]) -> None:
    """Refuse two names for one bus of the kernel: each would be read by a thread of its own."""
    taken: dict[str, str] = {}
    for bus in buses:
        port = bus.options.values.get("port")
        if bus.kind in ("i2c", "spi"):
            place, key = f"{bus.kind} {bus.options.values.get('number', 0)}", "number"
        elif isinstance(port, str):  # a number is a port of TCP
            place, key = port, "port"
        else:
            continue
        first = taken.setdefault(place, bus.name)
        if first != bus.name:
            what = f"{first!r} and {bus.name!r} are both {place}"
            raise bus.options.error(f"{what}; remove one, and use the other's name", key)


def sample(kinds: Sequence[str] = ()) -> str:
    """A configuration file that works on any Linux machine and shows every setting.

    Args:
        kinds: kinds of sensor to show, as comments, besides the machine itself; with none the file names them all.

    Raises:
        ConfigError: a kind is unknown.
    """
    parts = [
        to_sample(AgentSettings, "Configuration of wayside-edge: every setting with its default.", leave_out=_LISTS),
        _sensor("host", "\n"),
    ]
    if not kinds:
        names = textwrap.fill(", ".join(registry.kinds()), 110, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"# wayside-edge sample-config KIND shows a sensor of any of these kinds:\n{names}\n")
    parts.append(_commented(f"[[sensor.reading]]\n{to_sample(ReadingSettings, path='sensor.reading')}"))
    families = dict.fromkeys(family for kind in kinds for family in _kind(kind).families)
    parts.append(_commented(f"[[stage]]\n{to_sample(StageSettings, path='stage')}"))
    buses: dict[str, str] = {}
    for kind in BUS_KINDS:
        buses.setdefault(kind.split("-")[0], kind)
    parts += [_bus(buses[family], family) for family in families if family in buses]
    parts += [_commented(_sensor(kind, "")) for kind in kinds if kind != "host"]
    return "\n".join(parts)


def _bus(kind: str, family: str) -> str:
    head = to_sample(BusSettings).replace('kind = "i2c"', f'kind = "{kind}"').replace('"main"', f'"{family}-bus"')
    return _commented(f"[[bus]]\n{head}{to_sample(BUS_KINDS[kind])}")


def _sensor(name: str, end: str) -> str:
    kind = _kind(name)
    head = to_sample(SensorSettings, leave_out=("reading",) if kind.families else ("bus", "reading"))
    head = head.replace('kind = "host"', f'kind = "{name}"').replace('name = "greenhouse"', f'name = "{name}"')
    if kind.families:
        head = head.replace("# bus =", f'bus = "{kind.families[0]}-bus"')
    return f"# {kind.title}\n[[sensor]]\n{head}{to_sample(kind.settings, path='sensor')}{end}".rstrip("\n") + "\n"


def _kind(name: str) -> DriverKind:
    kind = registry.load(name)
    if kind is None:
        raise ConfigError(f"unknown sensor kind {name!r}{suggestion(name, registry.kinds())}")
    return kind


_LISTS = ("bus", "sensor", "stage")


def _commented(text: str) -> str:
    """`text` as comments, which stay readable when the marks are taken away."""
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines()) + "\n"
