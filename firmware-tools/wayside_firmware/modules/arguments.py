"""The command line of `wayside-fw module`. Each command gives lines to print."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from wayside_firmware.modules import library
from wayside_firmware.modules.project import LANGUAGES, write_project
from wayside_shared.errors import ConfigError
from wayside_shared.stage_worker import Limits

LIMITS = Limits()
Lines = Callable[[argparse.Namespace], Iterator[str]]


def add_module(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", command: Callable[[argparse.Namespace], int]
) -> None:
    """Add the command `module`.

    Args:
        commands: of wayside-fw.
        command: runs one of them: it prints what `options.lines(options)` gives.
    """
    module = commands.add_parser("module", help="write, build and try a module for a WebAssembly stage")
    inner = module.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, help_: str, lines: Lines) -> argparse.ArgumentParser:
        parser = inner.add_parser(name, help=help_)
        parser.set_defaults(command=command, lines=lines)
        return parser

    new = add("new", "write a module from a template", _new)
    new.add_argument("name", metavar="NAME", help="its name")
    new.add_argument("--language", choices=LANGUAGES, default="c", help="what it is written in (%(default)s)")
    new.add_argument("--dir", type=Path, metavar="DIR", help="a new folder for it (NAME)")
    build = add("build", "compile the module in a folder", _build)
    build.add_argument("folder", type=Path, metavar="DIR", help="where its source is")
    build.add_argument("--output", type=Path, metavar="FILE", help="where it goes (<name of the folder>.wasm there)")
    test = add("test", "run a module on readings, as the agent would", _test)
    test.add_argument("file", type=Path, metavar="FILE.wasm", help="the module")
    rows = "CSV, as the server exports it (series,unit,time,value,quality) or wide (time, then name [unit]…)"
    test.add_argument("--input", type=Path, required=True, metavar="FILE.csv", help=rows)
    test.add_argument(
        "--time-column", metavar="NAME", help="column of the times in a wide table (time, timestamp, date or datetime)"
    )
    test.add_argument(
        "--settings", nargs="*", default=[], type=_setting, metavar="KEY=VALUE", help="settings of the module"
    )
    test.add_argument("--block", type=_count, default=60, metavar="N", help="readings of a block (%(default)s)")
    test.add_argument("--fuel", type=_count, default=LIMITS.fuel, metavar="N", help="fuel of a block (%(default)s)")
    test.add_argument(
        "--deadline-ms", type=_count, default=LIMITS.deadline_ms, metavar="MS", help="its deadline (%(default)s)"
    )
    test.add_argument(
        "--memory-bytes", type=_count, default=LIMITS.memory_bytes, metavar="N", help="its memory (%(default)s)"
    )
    inspect = add("inspect", "show what a module exports and imports, and whether it conforms", _inspect)
    inspect.add_argument("file", type=Path, metavar="FILE.wasm", help="the module")
    shipped = add("library", "list the modules that come with Wayside, or write one to a file", _library)
    shipped.add_argument("name", nargs="?", metavar="NAME", help="the one to write")
    shipped.add_argument("--out", type=Path, metavar="FILE", help="where it goes (NAME.wasm)")


def _new(options: argparse.Namespace) -> Iterator[str]:
    folder: Path = options.dir or Path(options.name)
    yield from map(str, write_project(options.name, options.language, folder))
    yield f"\nbuild it: wayside-fw module build {folder}"


def _library(options: argparse.Namespace) -> Iterator[str]:
    if options.name is None:
        if options.out is not None:
            raise ConfigError("--out needs the NAME of the module to write")
        width = max(map(len, library.MODULES))
        yield from (f"{name:{width}}  {gives}" for name, gives in library.MODULES.items())
        return
    to: Path = options.out or Path(f"{options.name}.wasm")
    sha256 = library.write(options.name, to)
    yield f"wrote {to}"
    yield f'sha256 = "{sha256}"'


# What follows needs wasmtime, and the other commands of wayside-fw do not: it is imported when it is used.


def _build(options: argparse.Namespace) -> Iterator[str]:
    from wayside_firmware.modules.inspection import inspect
    from wayside_firmware.modules.toolchain import build

    file = build(options.folder, options.output)
    yield str(file)
    yield from inspect(file).lines()


def _test(options: argparse.Namespace) -> Iterator[str]:
    from wayside_firmware.modules.trial import Trial

    limits = Limits(options.fuel, options.deadline_ms, options.memory_bytes)
    settings = dict(options.settings)
    yield from Trial(options.file, options.input, settings, limits, options.block, options.time_column).run()


def _inspect(options: argparse.Namespace) -> Iterator[str]:
    from wayside_firmware.modules.inspection import inspect

    yield from inspect(options.file).lines()


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value < 1 << 62:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
