"""`wayside-edge read`: one sensor by its driver, as the agent reads it, without outbox and network."""

import argparse
import dataclasses
import fnmatch
import json
import re
import shutil
import sys
import textwrap
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from random import SystemRandom
from typing import Any, Final

from wayside_edge import config, registry
from wayside_edge.acquisition.course import Course, Outcome
from wayside_edge.errors import ConfigError
from wayside_edge.hal.buses import BUS_KINDS, Buses, BusSettings
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Clock, Driver, DriverKind, Reading
from wayside_edge.registry import SensorSettings
from wayside_shared.clock import NS_PER_MS, NS_PER_S
from wayside_shared.rejects import RejectCode
from wayside_shared.settings import Table, suggestion

KERNEL_BUSES: Final = (
    (re.compile(r"(?:/dev/)?i2c-(?P<number>\d+)"), "i2c"),
    (re.compile(r"(?:/dev/)?spi(?:dev)?-?(?P<number>\d+)(?:\.(?P<chip_select>\d+))?"), "spi"),
)
"""How people write the kernel's buses: by the names of their device nodes."""
NODE_SETTINGS: Final = {"gpio": "chip", "uart": "port"}
"""The setting of a kind of bus that takes a device node."""
REFUSED: Final = f"refused: {RejectCode.NON_FINITE.value}"
"""What becomes of a value that is NaN or infinite: a cell of a recording that is no number."""


def run(options: argparse.Namespace) -> int:
    """Read and print; returns 0.

    Args:
        options: the command line.

    Raises:
        BusError: the bus or the chip is not there (when reading once; a live table goes on and shows it).
        SensorError: the chip gave no measurement.
        ConfigError: sensor, bus or an option is wrong.
    """
    buses, sensor, kind = _wanted(options)
    provider = Buses(buses)
    driver = _built(sensor, kind, provider)
    clock = SystemClock(ClockSettings())
    course = Course(
        sensor.name,
        driver,
        kind.quantities,
        interval_ns=round(sensor.interval_s * NS_PER_S),
        phase=0.0,
        deadline_s=sensor.deadline_s,
        conditioner=Conditioner(()),  # what the driver gives is shown, before any calibration
        backoff=Backoff(SystemRandom().random),
        clock=clock,
    )
    try:
        outcomes = _outcomes(course, clock)
        if options.watch:
            _watch(_where(sensor, kind), islice(outcomes, options.count), as_json=options.json)
        else:
            _once(_where(sensor, kind), kind, next(outcomes), as_json=options.json)
    except KeyboardInterrupt:
        print()
    finally:
        course.close()
        provider.close()
    return 0


def _wanted(options: argparse.Namespace) -> tuple[Sequence[BusSettings], SensorSettings, DriverKind]:
    """The buses there are, and the sensor that the command line means."""
    board = config.load_board(options.config) if options.config is not None else config.BoardSettings()
    chip = dict(_option(text) for text in options.option)
    if options.address is not None:
        chip["address"] = options.address
    sensor = next((sensor for sensor in board.sensor if sensor.name == options.target), None)
    if sensor is None:
        names = [sensor.name for sensor in board.sensor]
        kind = _kind(options.target, names)
        sensor = SensorSettings(name=options.target, kind=options.target, options=Table({}, source=options.target))
    else:
        kind = _kind(sensor.kind, [])
    buses = list(board.bus)
    if options.bus is not None:
        bus, more = _bus(options.bus, kind, buses)
        buses = [bus, *(other for other in buses if other.name != bus.name)]
        sensor = dataclasses.replace(sensor, bus=bus.name)
        chip = {**more, **chip}
    if kind.families and sensor.bus is None:
        raise ConfigError(
            f"a {sensor.kind} is on a bus of family {' or '.join(kind.families)}: say which with --bus BUS"
        )
    held = dataclasses.replace(sensor.options, values={**sensor.options.values, **chip})
    interval_s = options.interval or sensor.interval_s
    return buses, dataclasses.replace(sensor, options=held, interval_s=interval_s), kind


def _built(sensor: SensorSettings, kind: DriverKind, buses: Buses) -> Driver:
    try:
        driver, _ = registry.build(sensor, buses)
    except ConfigError as error:
        there = list(kind.there()) if kind.there is not None else []
        if not there:
            raise
        said = ", ".join(f"--option {setting}" for setting in there)
        raise ConfigError(f"{str(error).rstrip('.')}; this machine has: {said}") from error
    return driver


def _kind(name: str, sensors: Sequence[str]) -> DriverKind:
    kind = registry.load(name)
    if kind is None:
        what = "sensor of the configuration or kind" if sensors else "kind of sensor"
        raise ConfigError(f"there is no {what} {name!r}{suggestion(name, [*sensors, *registry.kinds()])}")
    return kind


def _bus(text: str, kind: DriverKind, configured: Sequence[BusSettings]) -> tuple[BusSettings, Mapping[str, Any]]:
    """The bus that `text` means, and what it says of the chip's place."""
    named = next((bus for bus in configured if bus.name == text), None)
    if named is not None:
        return named, {}
    if text.isdecimal() and kind.families and kind.families[0] in ("i2c", "spi"):
        text = f"{kind.families[0]}-{text}"
    for pattern, family in KERNEL_BUSES:
        found = pattern.fullmatch(text)
        if found is not None:
            parts = {key: int(value) for key, value in found.groupdict().items() if value is not None}
            number = parts.pop("number")
            return BusSettings(name=f"{family}-{number}", kind=family, options=Table({"number": number})), parts
    if text.startswith("/dev/") and kind.families and kind.families[0] in NODE_SETTINGS:
        family = kind.families[0]
        return BusSettings(name=family, kind=family, options=Table({NODE_SETTINGS[family]: text})), {}
    if text in BUS_KINDS:
        return BusSettings(name=text, kind=text, options=Table({}, source="--bus")), {}
    known = [*(bus.name for bus in configured), *BUS_KINDS]
    message = f"{text!r} is no bus: say the N of /dev/i2c-N, X.Y of /dev/spidevX.Y, or a name{suggestion(text, known)}"
    raise ConfigError(message, source="--bus")


def _option(text: str) -> tuple[str, Any]:
    """A setting of the driver as it would stand in TOML; what is no TOML is a text.

    Raises:
        ConfigError: it has no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{text!r} is no setting: write key=value", source="--option")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _where(sensor: SensorSettings, kind: DriverKind) -> str:
    on = f" on {sensor.bus}" if sensor.bus is not None else ""
    return f"{sensor.name}{on}: {kind.title}"


def _outcomes(course: Course, clock: Clock) -> Iterator[Outcome]:
    """What the sensor gives, as it falls due; the pauses of its driver are slept through."""
    while True:
        time.sleep(max(course.due_ns - clock.boottime_ns(), 0) / NS_PER_S)
        outcome = course.advance()
        if outcome is not None:
            yield outcome


def _once(where: str, kind: DriverKind, outcome: Outcome, *, as_json: bool) -> None:
    if outcome.error is not None:
        raise outcome.error
    tail = (*_not_given(kind, outcome), f"read in {_took_ms(outcome):.1f} ms")
    print(_json(outcome) if as_json else "\n".join((where, *_table(outcome), *tail)))


def _not_given(kind: DriverKind, outcome: Outcome) -> Iterator[str]:
    names = [reading.name for reading in outcome.readings]
    lacking = [quantity.name for quantity in kind.quantities if not fnmatch.filter(names, quantity.name)]
    if lacking:
        told = ", ".join(lacking)
        yield f"not in this read: {told}; turned off, not there, or a rate, which takes a second read: --watch"


def _watch(where: str, outcomes: Iterator[Outcome], *, as_json: bool) -> None:
    reads = failed = lines = 0
    longest_ms = 0.0
    for outcome in outcomes:
        reads += 1
        failed += outcome.error is not None
        longest_ms = max(longest_ms, _took_ms(outcome))
        if as_json:
            print(_json(outcome), flush=True)
            continue
        took = "" if outcome.error else f" in {_took_ms(outcome):.1f} ms"
        tail = f"read {reads}{took}, longest {longest_ms:.1f} ms; {failed} failed"
        shown = [where, *_table(outcome), tail]
        lines = _show(shown, lines)


def _show(shown: Sequence[str], before: int) -> int:
    """Print the table, on a terminal in place of the one before.

    Args:
        shown: its lines.
        before: lines that the one before took.

    Returns:
        Lines that this one took.
    """
    if not sys.stdout.isatty():
        print("\n".join(shown), flush=True)
        return 0
    width = shutil.get_terminal_size().columns
    lines = [part for line in shown for part in (textwrap.wrap(line, width) if len(line) > width else [line])]
    # Up to where the last table began, and all from there on cleared (ECMA-48: CPL, ED).
    print((f"\x1b[{before}F\x1b[J" if before else "") + "\n".join(lines), flush=True)
    return len(lines)


def _table(outcome: Outcome) -> Iterator[str]:
    if outcome.error is not None:
        yield f"{outcome.error.quality.label}: {outcome.error}"
    rows = [(reading.name, _value(reading), reading.unit, _trust(reading)) for reading in outcome.readings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for name, value, unit, quality in rows:
        yield f"  {name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {quality}"


def _trust(reading: Reading) -> str:
    """Its quality, or that the agent will refuse and count it."""
    return REFUSED if _is_no_number(reading) else reading.quality.label


def _is_no_number(reading: Reading) -> bool:
    return isinstance(reading.value, float) and not isfinite(reading.value)


def _value(reading: Reading) -> str:
    value = reading.value
    if value is None or _is_no_number(reading):
        return "-"
    if isinstance(value, float):
        return f"{value:.{reading.decimals}f}" if reading.decimals is not None else f"{value:g}"
    return str(value)


def _took_ms(outcome: Outcome) -> float:
    return (outcome.ended_ns - outcome.stamp_ns) / NS_PER_MS


def _json(outcome: Outcome) -> str:
    readings = [
        {
            "name": reading.name,
            "value": None
            if _is_no_number(reading)
            else round(reading.value, reading.decimals)
            if isinstance(reading.value, float) and reading.decimals is not None
            else reading.value,
            "unit": reading.unit,
            "quality": _trust(reading),
        }
        for reading in outcome.readings
    ]
    error = str(outcome.error) if outcome.error is not None else None
    return json.dumps(
        {"sensor": outcome.sensor, "took_ms": round(_took_ms(outcome), 3), "error": error, "readings": readings}
    )
