"""Buses, device nodes, and the power of the board."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside_edge import registry
from wayside_edge.commands.doctor.finding import Finding, User, group_of, note, ok, problem, user_name, warning
from wayside_edge.config import AgentSettings
from wayside_edge.hal.buses import Buses
from wayside_edge.hal.discovery import Discovery

BOOT_FILES: Final = ("boot/firmware/config.txt", "boot/config.txt")
"""Of Raspberry Pi OS since Debian 12, and before."""


@dataclass(frozen=True, slots=True)
class _Interface:
    """A kind of bus that has to be enabled.

    Args:
        family: as `[[bus]] kind` has it.
        title: for people.
        nodes: where its device nodes or kernel entries are.
        lines: what enables it in config.txt on a Raspberry Pi; the first is the one to add.
        hint: what enables it elsewhere.
        without_nodes: what the kernel shows when only the nodes are missing.
        module: the module that makes them.
    """

    family: str
    title: str
    nodes: str
    lines: tuple[str, ...]
    hint: str
    without_nodes: str = ""
    module: str = ""


INTERFACES: Final = (
    _Interface(
        *("i2c", "I2C", "dev/i2c-*", ("dtparam=i2c_arm=on", "dtparam=i2c_arm", "dtparam=i2c=on", "dtparam=i2c")),
        *("enable it in the board's device tree", "sys/bus/i2c/devices/i2c-*", "i2c-dev"),
    ),
    _Interface(
        *("spi", "SPI", "dev/spidev*", ("dtparam=spi=on", "dtparam=spi")),
        *("enable it, with a spidev node, in the board's device tree", "sys/class/spi_master/spi*", "spidev"),
    ),
    _Interface("gpio", "GPIO", "dev/gpiochip*", (), "the kernel needs CONFIG_GPIO_CDEV and the board's GPIO driver"),
    _Interface(
        *("w1", "1-Wire", "sys/bus/w1/devices/w1_bus_master*", ("dtoverlay=w1-gpio", "dtoverlay=w1-gpio-pi5")),
        "enable w1-gpio in the board's device tree",
    ),
)
"""Lines of config.txt: README of the overlays in raspberrypi/firmware, boot/overlays."""

UNDER_VOLTAGE: Final = 0x1
SLOWED: Final = 0x2 | 0x4 | 0x8
SINCE_BOOT: Final = 16
"""Bits of get_throttled: under-voltage; frequency capped, throttled, soft temperature limit; and by how much those that
say that it has happened since the start are shifted (Raspberry Pi documentation, vcgencmd get_throttled)."""
SUPPLY: Final = "use a supply of 5.1 V and enough current, with a short thick cable"


def examine(settings: AgentSettings | None, root: Path, user: User) -> Iterator[Finding]:
    """Interfaces, the configured buses on them, and power."""
    needed = {bus.kind for bus in settings.bus} if settings is not None else set()
    for interface in INTERFACES:
        yield from _interface(interface, root, user, needed=interface.family in needed, known=settings is not None)
    if user.uid == 0:
        fix = "run this as the agent's user: sudo -u wayside wayside-edge doctor"
        yield warning("user", "root may open everything, so nothing is known of the agent's user", fix)
    if settings is not None:
        yield from _configured(settings, Discovery(root))
        for bus in settings.bus:
            port = bus.options.values.get("port")
            if isinstance(port, str):  # a number is a port of TCP
                yield from _serial(port, root, user)
    yield from _power(root)


def _interface(interface: _Interface, root: Path, user: User, *, needed: bool, known: bool) -> Iterator[Finding]:
    nodes = sorted(root.glob(interface.nodes))
    area = interface.family
    if not nodes:
        if known and not needed:
            yield note(area, f"{interface.title} is not enabled, and no [[bus]] needs it")
            return
        say = problem if needed else warning
        yield say(area, f"{interface.title} is not enabled", _enabling(interface, root))
        return
    yield ok(area, f"{interface.title} is enabled: {', '.join(node.name for node in nodes)}")
    for node in nodes:
        if interface.nodes.startswith("dev/") and not user.may_use(node):
            yield _forbidden(area, f"/dev/{node.name}", node, problem if needed else warning)


def _forbidden(area: str, name: str, node: Path, say: Callable[[str, str, str], Finding]) -> Finding:
    group = group_of(node)
    fix = f"sudo usermod -aG {group} {user_name()}, then sign in again"
    return say(area, f"{name} may not be opened by this user, who is not in group {group}", fix)


def _boot_file(root: Path) -> Path:
    return next((root / name for name in BOOT_FILES if (root / name).is_file()), root / BOOT_FILES[0])


def _enabling(interface: _Interface, root: Path) -> str:
    if interface.module and any(root.glob(interface.without_nodes)):
        name = interface.module
        return f"sudo modprobe {name}; to keep it: echo {name} | sudo tee /etc/modules-load.d/wayside.conf"
    if not interface.lines or "Raspberry Pi" not in _text(root / "proc/device-tree/model"):
        return interface.hint
    file = _boot_file(root)
    told = f"/{file.relative_to(root)}"
    lines = boot_lines(_text(file))
    if lines.intersection(interface.lines):
        return f"{told} enables it already: restart, and see dmesg if it is still missing"
    return f"add the line {interface.lines[0]} to {told} and restart, or use raspi-config, Interface Options"


def boot_lines(text: str) -> set[str]:
    """The settings in force in a config.txt, one `dtparam=` each: `dtparam=i2c_arm=on,spi=on` are two.

    Of two that contradict each other the later counts. Sections such as `[pi4]` are taken as if they applied.
    """
    found: dict[str, str] = {}
    for line in (line.partition("#")[0].strip() for line in text.splitlines()):
        if line.startswith("dtparam="):
            for part in line.removeprefix("dtparam=").split(","):
                found[f"dtparam={part.partition('=')[0]}"] = f"dtparam={part}"
        elif line:
            found[line] = line.partition(",")[0]
    return set(found.values())


def _configured(settings: AgentSettings, discovery: Discovery) -> Iterator[Finding]:
    adapters = {adapter.number: adapter for adapter in discovery.adapters()}
    buses = Buses(settings.bus)
    numbers = {bus.name: bus.options.values["number"] for bus in settings.bus if bus.kind == "i2c"}
    for name, number in numbers.items():
        if adapters and number not in adapters:
            there = ", ".join(f"{known}" for known in adapters)
            yield problem("i2c", f"bus {name!r} is number {number}, which is not there", f"say number = {there}")
    for sensor in settings.sensor:
        adapter = adapters.get(numbers.get(sensor.bus or "", -1))
        place = registry.place(sensor, buses)
        if adapter is None or place is None:
            continue
        driver = adapter.held.get(int(place.removeprefix("address "), 16))
        if driver is not None:
            what = f"the kernel driver {driver} holds {place}, where sensor {sensor.name!r} is"
            yield problem("i2c", what, "remove its device-tree overlay, or read it as a sensor of kind iio or hwmon")


def _serial(port: str, root: Path, user: User) -> Iterator[Finding]:
    """A serial port that a bus needs."""
    node = root / port.lstrip("/")
    if not node.exists():
        pi = "Raspberry Pi" in _text(root / "proc/device-tree/model")
        fix = f"add the line enable_uart=1 to /{_boot_file(root).relative_to(root)} and restart, or" if pi else ""
        yield problem("serial", f"{port} is not there", f"{fix} see that its adapter is plugged in".strip())
        return
    console = node.resolve().name
    if f"console={console}" in _text(root / "proc/cmdline").replace(",", " ").split():
        fix = f"take console={console} out of the kernel's command line (raspi-config, Serial Port), and restart"
        yield problem("serial", f"the kernel's console is on {port}, too", fix)
    elif not user.may_use(node):
        yield _forbidden("serial", port, node, problem)
    else:
        yield ok("serial", f"{port} is there")


def _power(root: Path) -> Iterator[Finding]:
    alarms = _alarms(root)
    words = [int(_text(place) or "0", 16) for place in root.glob("sys/devices/platform/soc*/*firmware/get_throttled")]
    flags = words[0] if words else 0
    since_boot = flags >> SINCE_BOOT
    if any(alarms) or flags & UNDER_VOLTAGE:
        yield problem("power", "the supply is too low now: cards and readings suffer from it", SUPPLY)
    elif since_boot & UNDER_VOLTAGE:
        yield warning("power", "the supply was too low since the start: cards and readings suffer from it", SUPPLY)
    if (flags | since_boot) & SLOWED:
        when = "is slowed down now" if flags & SLOWED else "was slowed down since the start"
        yield warning("power", f"the processor {when}", f"cool the board; and {SUPPLY}")
    if not alarms and not words:
        yield note("power", "this board does not tell how its supply is")
    elif not any(alarms) and not flags:
        yield ok("power", "the supply is high enough")


def _alarms(root: Path) -> Sequence[bool]:
    """Under-voltage since the kernel's last look, seconds ago (Documentation/hwmon/raspberrypi-hwmon.rst)."""
    monitors = [place for place in root.glob("sys/class/hwmon/hwmon*") if _text(place / "name") == "rpi_volt"]
    return [_text(place / "in0_lcrit_alarm") == "1" for place in monitors]


def _text(file: Path) -> str:
    try:
        return file.read_text().strip("\0\n ")
    except OSError:
        return ""
