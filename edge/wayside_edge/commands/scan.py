"""`wayside-edge scan`: which buses there are, what answers on them, and which driver reads it."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

from wayside_edge import config, registry
from wayside_edge.config import BoardSettings
from wayside_edge.errors import BusError, ConfigError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.hal.discovery import Adapter, Discovery, Interface
from wayside_edge.hal.probe import READ_ONLY, answers
from wayside_edge.ports import DriverKind, I2cBus
from wayside_shared.settings import Table, suggestion, to_example

NO_BUS: Final = "no I2C bus: enable I2C (on a Raspberry Pi: raspi-config, Interface Options) and load i2c-dev"
THERMOMETERS: Final = ("10", "22", "28", "42")
"""Families of 1-Wire chips that the kind ds18b20 reads."""


@dataclass(frozen=True, slots=True)
class Chip:
    """What answers at an address.

    Args:
        address: the address.
        kinds: kinds of driver that recognise it.
        possible: kinds that can have the address and cannot tell, or were not asked.
        denied: kinds that can have the address and do not recognise it.
        held_by: the driver of the kernel that has it; it was left alone.
        trouble: why it could not be probed.
        sensor: the configuration's name for it.
    """

    address: int
    kinds: Sequence[str] = ()
    possible: Sequence[str] = ()
    denied: Sequence[str] = ()
    held_by: str = ""
    trouble: str = ""
    sensor: str = ""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One I2C bus.

    Args:
        name: in the configuration, or `i2c-N`.
        number: N of /dev/i2c-N; None for a bus that is not the kernel's.
        title: what it is.
        chips: what is on it.
        configured: its table is in the configuration already.
        left_out: why it was not scanned though it could be.
        trouble: why it could not be scanned.
    """

    name: str
    number: int | None
    title: str
    configured: bool
    chips: Sequence[Chip] = ()
    left_out: str = ""
    trouble: str = ""


class Scanner:
    """Asks what is on I2C buses.

    Args:
        kinds: every kind of driver by its name.
        ask_all: ask chips who they are at the addresses of EEPROMs too.
    """

    def __init__(self, kinds: Mapping[str, DriverKind], *, ask_all: bool = False) -> None:
        self._kinds = {name: kind for name, kind in kinds.items() if "i2c" in kind.families}
        self._ask_all = ask_all

    def scan(self, bus: I2cBus, held: Mapping[int, str]) -> Iterator[Chip]:
        """What is on `bus`.

        Args:
            bus: the bus.
            held: what drivers of the kernel have, by address.

        Raises:
            BusError: it cannot be opened, or is stuck.
        """
        yield from (Chip(address, held_by=driver) for address, driver in held.items())
        heard = set(held)
        for answer in answers(bus, held):
            heard.add(answer.address)
            if answer.trouble:
                yield Chip(answer.address, trouble=answer.trouble)
            else:
                yield self._named(bus, answer.address)

        if self._ask_all:
            yield from self._silent(bus, sorted(READ_ONLY - heard))

    def _silent(self, bus: I2cBus, addresses: Sequence[int]) -> Iterator[Chip]:
        """Chips that do not acknowledge the read by which the addresses of EEPROMs are probed, as an SGP40."""
        for address in addresses:
            chip = self._named(bus, address)
            if chip.kinds:
                yield Chip(address, chip.kinds)

    def _named(self, bus: I2cBus, address: int) -> Chip:
        certain: list[str] = []
        possible: list[str] = []
        denied: list[str] = []
        asks = self._ask_all or address not in READ_ONLY
        for name, kind in self._kinds.items():
            if address not in kind.addresses:
                continue
            if kind.identify is None or not asks:
                possible.append(name)
            else:
                (certain if _recognised(kind.identify, bus, address) else denied).append(name)
        return Chip(address, certain, possible, denied)


def _recognised(identify: Callable[[I2cBus, int], bool], bus: I2cBus, address: int) -> bool:
    try:
        return identify(bus, address)
    except BusError:  # it does not acknowledge what such a chip would
        return False


def run(options: argparse.Namespace, root: Path = Path("/")) -> int:
    """Scan and print; returns 1 when a bus could not be scanned.

    Args:
        options: the command line.
        root: where /sys and /dev are.

    Raises:
        BusError: there is no such bus.
        ConfigError: the configuration is wrong.
    """
    discovery = Discovery(root)
    board = config.load_board(options.config) if options.config is not None else config.BoardSettings()
    targets = _targets(options.bus, board.bus, discovery.adapters())
    every = ((name, registry.load(name)) for name in registry.kinds())
    scanner = Scanner({name: kind for name, kind in every if kind is not None}, ask_all=options.ask_all)
    named = _named_places(board)
    found = [_scanned(scanner, target, named) for target in targets]
    interfaces = [] if options.bus else [*_others(board.bus), *discovery.interfaces()]
    if options.json:
        print(json.dumps({"i2c": [_as_json(bus) for bus in found], "interfaces": _plain(interfaces)}, indent=2))
    else:
        print("\n".join(_toml(found, interfaces, board) if options.toml else _table(found, interfaces)))
    return 1 if any(bus.trouble for bus in found) else 0


@dataclass(frozen=True, slots=True)
class _Target:
    bus: Scanned
    settings: BusSettings
    held: Mapping[int, str]


def _targets(wanted: Sequence[str], configured: Sequence[BusSettings], adapters: Sequence[Adapter]) -> list[_Target]:
    """The I2C buses to scan: those of the configuration, then those of the kernel that it does not name."""
    by_number = {adapter.number: adapter for adapter in adapters}
    buses = Buses(configured)
    targets = []
    for settings in configured:
        if buses.family(settings.name) != "i2c":
            continue
        number = settings.options.values["number"] if settings.kind == "i2c" else None
        adapter = by_number.pop(number, None) if number is not None else None
        title = adapter.title if adapter is not None else settings.kind
        held = adapter.held if adapter is not None else {}
        targets.append(_Target(Scanned(settings.name, number, title, configured=True), settings, held))
    for number, adapter in by_number.items():
        name = f"i2c-{number}"
        settings = BusSettings(name=name, kind="i2c", options=Table({"number": number}))
        left_out = f"not scanned, it belongs to a display or a main board: --bus {name}" if adapter.shared else ""
        bus = Scanned(name, number, adapter.title, configured=False, left_out=left_out)
        targets.append(_Target(bus, settings, adapter.held))
    return _chosen(wanted, targets)


def _named_places(board: BoardSettings) -> Mapping[tuple[str, int], str]:
    """The names of the configuration's sensors by bus and I2C address."""
    buses = Buses(board.bus)
    places = ((sensor, registry.place(sensor, buses) or "") for sensor in board.sensor)
    return {
        (str(sensor.bus), int(place.removeprefix("address "), 0)): sensor.name
        for sensor, place in places
        if place.startswith("address ")
    }


def _others(configured: Sequence[BusSettings]) -> Iterator[Interface]:
    """The configuration's buses that cannot be scanned."""
    buses = Buses(configured)
    for bus in configured:
        family = buses.family(bus.name)
        if family != "i2c":
            yield Interface(family, bus.name, f"of the configuration, kind {bus.kind}")


def _chosen(wanted: Sequence[str], targets: Sequence[_Target]) -> list[_Target]:
    if not wanted:
        return list(targets)
    chosen = []
    for text in wanted:
        names = (text, f"i2c-{text}", text.removeprefix("/dev/"))
        target = next((t for t in targets if {t.bus.name, f"i2c-{t.bus.number}"} & set(names)), None)
        if target is None:
            known = [target.bus.name for target in targets]
            fix = suggestion(text, known) if known else "; enable I2C (on a Raspberry Pi: raspi-config)"
            raise BusError(f"there is no I2C bus {text}{fix}")
        chosen.append(dataclasses.replace(target, bus=dataclasses.replace(target.bus, left_out="")))
    return chosen


def _scanned(scanner: Scanner, target: _Target, named: Mapping[tuple[str, int], str]) -> Scanned:
    if target.bus.left_out:
        return target.bus
    buses = Buses([target.settings])
    chips: list[Chip] = []
    trouble = ""
    try:
        chips.extend(scanner.scan(buses.i2c(target.bus.name), target.held))
    except (BusError, ConfigError) as error:
        trouble = str(error)
    finally:
        buses.close()
    chips.sort(key=lambda chip: chip.address)
    known = [dataclasses.replace(c, sensor=named.get((target.bus.name, c.address), "")) for c in chips]
    return dataclasses.replace(target.bus, chips=known, trouble=trouble)


def _as_json(bus: Scanned) -> dict[str, Any]:
    return {
        "bus": bus.name,
        "number": bus.number,
        "title": bus.title,
        "left_out": bus.left_out,
        "trouble": bus.trouble,
        "chips": _plain(bus.chips),
    }


def _plain(items: Sequence[Chip] | Sequence[Interface]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(item) for item in items]


def _table(found: Sequence[Scanned], interfaces: Sequence[Interface]) -> Iterator[str]:
    if not found:
        yield NO_BUS
    for bus in found:
        yield f"{bus.name}  {bus.title}"
        yield from (f"  0x{chip.address:02x}  {_told(chip)}" for chip in bus.chips)
        said = bus.trouble or bus.left_out or ("" if bus.chips else "nothing answers")
        yield from [f"  {said}"] * bool(said)
    wide = max((len(interface.place) for interface in interfaces), default=0)
    for interface in interfaces:
        yield f"{interface.family:<7} {interface.place:<{wide}}  {interface.title}".rstrip()


def _told(chip: Chip) -> str:
    if chip.held_by:
        return f"held by the kernel driver {chip.held_by}; read it as kind iio or hwmon, or remove its overlay"
    if chip.trouble:
        return chip.trouble
    possible = " or ".join(chip.possible)
    if chip.kinds:
        kind = registry.load(chip.kinds[0])
        title = kind.title if kind is not None and len(chip.kinds) == 1 else "to judge by their registers"
        return f"{' or '.join(chip.kinds)}  {title}" + (f"; or {possible}, which cannot tell" if possible else "")
    if chip.possible and chip.address in READ_ONLY:
        return f"maybe {possible}; it was not asked, because EEPROMs live here: --ask-all"
    if chip.possible:
        return f"maybe {possible}, which cannot be told by reading"
    no = f"not recognised as {' or '.join(chip.denied)}" if chip.denied else "no driver has this address"
    return f"unknown: {no}; to write a driver: wayside-edge new-driver NAME"


def _toml(found: Sequence[Scanned], interfaces: Sequence[Interface], board: BoardSettings) -> Iterator[str]:
    """Tables for what was found and is not in the configuration yet. Of several kinds that a chip can be, the first
    counts and the others are comments; a chip that was not recognised for certain is a comment as a whole.
    """
    names = _Names(board)
    if not found:
        yield f"# {NO_BUS}"
    for bus in found:
        yield from _bus_toml(bus, names)
    used = {sensor.options.values.get(key) for sensor in board.sensor for key in ("id", "device")}
    probes = [i.place for i in interfaces if i.family == "1-wire" and i.place.partition("-")[0] in THERMOMETERS]
    w1 = next((bus.name for bus in board.bus if bus.kind == "w1"), "")
    if probes and not w1:
        w1 = "w1"
        yield '[[bus]]\nname = "w1"\nkind = "w1"\n'
    for place in probes:
        if place in used:
            yield f"# {place} is in the configuration already"
        else:
            yield f'{names.head("ds18b20")}\nbus = "{w1}"\nid = "{place}"\n'
    for title in (i.title for i in interfaces if i.family == "iio" and i.title not in used):
        yield f'{names.head("iio")}\ndevice = "{title}"\n'


def _bus_toml(bus: Scanned, names: "_Names") -> Iterator[str]:
    chips = [chip for chip in bus.chips if not chip.sensor and (chip.kinds or chip.possible)]
    if chips and not bus.configured:
        yield f'[[bus]]\nname = "{bus.name}"\nkind = "i2c"\nnumber = {bus.number}\n'
    for chip in bus.chips:
        where = f"{bus.name}, 0x{chip.address:02x}"
        if chip.sensor:
            yield f"# {where} is {chip.sensor!r} of the configuration"
        elif chip not in chips:
            yield f"# {where}: {_told(chip)}"
        elif chip.kinds:
            yield _sensor_toml(bus, chip, names)
        else:
            yield f"# {where}: {_told(chip)}. If it is one, take the marks away:"
            yield "\n".join(f"# {line}".rstrip() for line in _sensor_toml(bus, chip, names).splitlines()) + "\n"
    if bus.trouble:
        yield f"# {bus.name}: {bus.trouble}"


def _sensor_toml(bus: Scanned, chip: Chip, names: "_Names") -> str:
    kind, *others = (*chip.kinds, *chip.possible)
    note = f"  # or {', '.join(others)}" if others else ""
    driver = registry.load(kind)
    example = to_example(driver.settings, path="sensor", given=["address"]) if driver is not None else ""
    hint = "# An example; say what is wired to it:" if example else ""
    return f'{names.head(kind)}{note}\nbus = "{bus.name}"\naddress = 0x{chip.address:02x}\n{hint}{example}'


class _Names:
    """Names for new sensors beside those of a configuration."""

    def __init__(self, board: BoardSettings) -> None:
        self._taken = {sensor.name for sensor in board.sensor}

    def head(self, kind: str) -> str:
        """How the table of a sensor of this kind begins; the second of a kind is named <kind>-2."""
        name = next(n for n in chain([kind], (f"{kind}-{i}" for i in count(2))) if n not in self._taken)
        self._taken.add(name)
        return f'[[sensor]]\nname = "{name}"\nkind = "{kind}"'
