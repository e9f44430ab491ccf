"""The commands wayside-fw and wayside."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from wayside_firmware.board.air import PLACES, Weather
from wayside_firmware.board.config import simulated_board
from wayside_firmware.demo.children import adopt_orphans, end_leftovers
from wayside_firmware.demo.place import place_of, remove_stale
from wayside_firmware.demo.run import Outcome, demonstrate
from wayside_firmware.demo.screen import Screen
from wayside_firmware.models.options import add_model
from wayside_firmware.modules.arguments import add_module
from wayside_shared.commands import while_read, with_version
from wayside_shared.errors import EXIT_CONFIG, ConfigError, WaysideError
from wayside_shared.runtimes import MODULES, missing_text

EXIT_INTERRUPTED = 130


def main() -> int:
    """The command wayside-fw; returns its exit status."""
    return while_read(lambda: _run("wayside-fw", firmware_parser()))


def wayside() -> int:
    """The command wayside; returns its exit status."""
    return while_read(lambda: _run("wayside", demo_parser()))


def firmware_parser() -> argparse.ArgumentParser:
    """The parser of wayside-fw."""
    parser = with_version(
        argparse.ArgumentParser(prog="wayside-fw", description="Simulated boards and tools around firmware.")
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    board = commands.add_parser("board", help="print an agent's configuration of a simulated board")
    board.add_argument(
        "--places", type=int, choices=range(1, len(PLACES) + 1), default=len(PLACES), help="chips on it (%(default)s)"
    )
    board.add_argument(
        "--hurry", type=_positive, default=1.0, metavar="N", help="run its weather N times faster (%(default)g)"
    )
    board.set_defaults(command=_board)
    air = commands.add_parser("air", help="print the simulated air of a place, as CSV")
    air.add_argument("place", choices=PLACES, help="where")
    air.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the weather (%(default)s)")
    air.add_argument("--hours", type=_positive, default=24.0, metavar="H", help="how far to look ahead (%(default)g)")
    air.add_argument(
        "--step", type=_positive, default=600.0, metavar="SECONDS", help="from one line to the next (%(default)g)"
    )
    air.set_defaults(command=_air)
    add_model(commands)
    add_module(commands, _printed)
    return parser


def demo_parser() -> argparse.ArgumentParser:
    """The parser of wayside."""
    parser = with_version(
        argparse.ArgumentParser(prog="wayside", description="Telemetry that accounts for every sample.")
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="run the whole system on this machine")
    demo.add_argument(
        "--for", dest="seconds", type=_positive, metavar="SECONDS", help="end by itself after so long (when stopped)"
    )
    demo.add_argument("--json", action="store_true", help="end with the account as one JSON object in the last line")
    demo.add_argument("--dir", type=Path, metavar="DIR", help="a new folder to work in, which stays (a temporary one)")
    demo.set_defaults(command=_demo)
    return parser


def _run(name: str, parser: argparse.ArgumentParser) -> int:
    options = parser.parse_args()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except WaysideError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, ConfigError) else 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in MODULES:
            raise
        print(f"{name}: {missing_text(error.name or '')}", file=sys.stderr)
        return EXIT_CONFIG


def _board(options: argparse.Namespace) -> int:
    print(simulated_board(options.places, options.hurry), end="")
    return 0


def _air(options: argparse.Namespace) -> int:
    weather = Weather(PLACES[options.place], options.seed)
    begin_s = time.time()
    print("unix_s,temperature_cel,pressure_pa,humidity_percent")
    for step in range(int(options.hours * 3600 / options.step) + 1):
        at_s = begin_s + step * options.step
        air = weather(at_s)
        print(f"{at_s:.0f},{air.celsius:.2f},{air.pascal:.1f},{air.percent:.1f}")
    return 0


def _printed(options: argparse.Namespace) -> int:
    for line in options.lines(options):
        print(line)
    return 0


def _demo(options: argparse.Namespace) -> int:
    screen = Screen(_begin_s())
    adopt_orphans()
    try:
        for stale in remove_stale():
            screen.say(f"Removed {stale}, which a demo that was killed had left.")
        with place_of(options.dir) as place:
            try:
                outcome = asyncio.run(demonstrate(place, screen, options.seconds))
            finally:
                end_leftovers()
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.say("stopped; nothing is left running")
        return EXIT_INTERRUPTED
    return _report(outcome, screen, as_json=options.json)


def _report(outcome: Outcome, screen: Screen, *, as_json: bool) -> int:
    for fault in outcome.faults:
        print(f"wayside: {fault}", file=sys.stderr)
    screen.say(f"Account: {outcome.account}.")
    promise = "" if outcome.faults else "Every accepted sample is stored exactly once. "
    screen.say(f"{promise}Nothing is left running.")
    if as_json:
        screen.say(json.dumps(outcome.figures))
    return 1 if outcome.faults else 0


def _begin_s() -> float:
    """CLOCK_MONOTONIC when this process was started: the interpreter's own start counts too."""
    stat = Path("/proc/self/stat").read_text()
    # Field 22 (proc(5)) counts clock ticks since boot; the first two fields end with the bracket.
    ticks = int(stat.rpartition(")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age_s


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError("must be more than 0 and at most a million")
    return value


if __name__ == "__main__":
    sys.exit(main())
