"""The agent's configuration: one TOML file, read whole and checked before anything starts."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wayside_edge import registry
from wayside_edge.errors import ConfigError
from wayside_edge.hal.buses import Buses, BusSettings, I2cSettings
from wayside_edge.hal.clock import ClockSettings
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.registry import SensorSettings
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.settings import from_toml, setting, suggestion, to_sample


class LogLevel(Enum):
    """How much the agent says on standard error."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[log]`."""

    level: LogLevel = setting("Least level to log.", LogLevel.INFO)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The whole file."""

    uplink: UplinkSettings = setting("The broker, and who this device is.")
    outbox: OutboxSettings = setting("Where samples wait for the server.", factory=OutboxSettings)
    batch: BatchSettings = setting("When samples are gathered into a batch.", factory=BatchSettings)
    clock: ClockSettings = setting("How far to trust the clock.", factory=ClockSettings)
    log: LogSettings = setting("What to log.", factory=LogSettings)
    bus: list[BusSettings] = setting("The buses that chips are on.", factory=list)
    sensor: list[SensorSettings] = setting("What to measure.", factory=list)


def load(path: Path) -> AgentSettings:
    """The settings in the file `path`; every bus, sensor and driver setting in it is checked.

    Raises:
        ConfigError: the file cannot be read or something in it is wrong; one line with file, line and fix.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the configuration: {reason}", source=str(path)) from error
    return parse(text, str(path))


def parse(text: str, source: str) -> AgentSettings:
    """The settings in `text`; see `load`.

    Args:
        text: the file's content.
        source: its name, for messages.

    Raises:
        ConfigError: as `load`.
    """
    settings = from_toml(AgentSettings, text, source)
    buses = Buses(settings.bus)
    names: set[str] = set()
    for sensor in settings.sensor:
        if sensor.name in names:
            raise sensor.options.error(f"a second sensor is named {sensor.name!r}; names must differ", "name")
        names.add(sensor.name)
        known = [bus.name for bus in settings.bus]
        if sensor.bus is not None and sensor.bus not in known:
            raise sensor.options.error(f"no [[bus]] is named {sensor.bus!r}{suggestion(sensor.bus, known)}", "bus")
        registry.build(sensor, buses)
    if not settings.sensor:
        raise ConfigError("nothing to measure: add a [[sensor]]", source=source)
    return settings


def sample() -> str:
    """A configuration file that works on any Linux machine and shows every setting."""
    parts = [
        to_sample(AgentSettings, "Configuration of wayside-edge: every setting with its default.", leave_out=_LISTS),
        _commented("[[bus]]", to_sample(BusSettings), to_sample(I2cSettings)),
    ]
    for kind, loader in registry.DRIVERS.items():
        driver = loader()
        head = to_sample(SensorSettings, leave_out=() if driver.on_bus else ("bus",))
        head = head.replace('kind = "host"', f'kind = "{kind}"').replace('name = "greenhouse"', f'name = "{kind}"')
        head = head.replace("# bus =", 'bus = "main"')
        own = to_sample(driver.settings, path="sensor")
        parts.append(f"[[sensor]]\n{head}{own}" if kind == "host" else _commented("[[sensor]]", head, own))
    return "\n".join(parts)


_LISTS = ("bus", "sensor")


def _commented(*parts: str) -> str:
    """`parts` as comments, which stay readable when the marks are taken away."""
    lines = "\n".join(part.rstrip() for part in parts).splitlines()
    return "\n".join(f"# {line}".rstrip() for line in lines) + "\n"
