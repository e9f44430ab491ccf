"""wayside-server packages: what boards install from this server."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from wayside_server import config
from wayside_server.app.site import site_of
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home
from wayside_server.packages.bundle import export
from wayside_server.packages.fetch import EXTRAS, add, fetch
from wayside_server.packages.shelf import Manifest, Shelf
from wayside_server.packages.targets import DEFAULT_MACHINES, DEFAULT_PYTHONS, MACHINES, PYTHONS, targets

_BAR = 24
"""Characters."""


def add_packages(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command and its own commands."""
    whole = commands.add_parser("packages", help="what boards install from this server").add_subparsers(
        required=True, metavar="COMMAND"
    )
    fill = whole.add_parser("fetch", parents=[shared], help="fetch the agent and all it needs from pip's index")
    for option, known, usual in (
        ("--platform", MACHINES, DEFAULT_MACHINES),
        ("--python", PYTHONS, DEFAULT_PYTHONS),
    ):
        fill.add_argument(
            option,
            action="extend",
            nargs="+",
            default=[],
            metavar="NAME",
            help=f"of the boards: any of {', '.join(known)} ({', '.join(usual)})",
        )
    fill.add_argument(
        "--extra", action="append", choices=EXTRAS, default=[], help="more than the agent: compute has WASM and TFLite"
    )
    fill.set_defaults(command=_fetch)
    whole.add_parser("list", parents=[shared], help="what there is").set_defaults(command=_list)
    whole.add_parser("verify", parents=[shared], help="read every file and compare its SHA-256").set_defaults(
        command=_verify
    )
    built = whole.add_parser("add", parents=[shared], help="add a wheel that was built elsewhere")
    built.add_argument("wheel", type=Path, metavar="WHEEL", help="of spidev or lgpio, in the locked version")
    built.set_defaults(command=_add)
    bundle = whole.add_parser("export", parents=[shared], help="write all of it into one file, for offline sites")
    bundle.add_argument("file", type=Path, metavar="FILE", help="the archive to write, .tar.gz")
    bundle.set_defaults(command=_export)


def _fetch(options: argparse.Namespace) -> None:
    _tell(fetch(_shelf(options), targets(options.platform, options.python), options.extra, _progress))


def _add(options: argparse.Namespace) -> None:
    _tell(add(_shelf(options), options.wheel))


def _list(options: argparse.Namespace) -> None:
    manifest = _shelf(options).filled()
    for file in manifest.files:
        print(f"{file.size / 1e6:8.2f} MB  {file.name}{'  (built here)' if file.own else ''}")
    _tell(manifest)


def _verify(options: argparse.Namespace) -> None:
    shelf = _shelf(options)
    total, bad = len(shelf.filled().files), 0
    for done, (file, fault) in enumerate(shelf.faults(), 1):
        _progress(done, total, file.name)
        if fault is not None:
            bad += 1
            print(f"{file.name}: {fault}")
    if bad:
        raise ConfigError(f"{bad} of {total} files are damaged or missing; run wayside-server packages fetch again")
    print(f"{total} files are as they were fetched")


def _export(options: argparse.Namespace) -> None:
    home = Home(options.home)
    replaces = options.file.exists()
    digest = export(Shelf(home), site_of(home, config.load(home)), options.file, _progress)
    print(f"{digest}  {options.file}")
    if replaces:
        print(f"it takes the place of the {options.file.name} that was there", file=sys.stderr)


def _shelf(options: argparse.Namespace) -> Shelf:
    config.load(Home(options.home))
    return Shelf(Home(options.home))


def _tell(manifest: Manifest) -> None:
    size = sum(file.size for file in manifest.files) / 1e6
    print(f"wayside {manifest.version} for {', '.join(manifest.targets)}: {len(manifest.files)} files, {size:.0f} MB")
    for item in manifest.lacking:
        project, target = item.split()
        print(f"no wheel of {project} for {target}: boards build it when they need it and have a compiler")


def _progress(done: int, total: int, what: str) -> None:
    if not sys.stderr.isatty():
        return
    filled = _BAR * done // max(total, 1)
    room = max(shutil.get_terminal_size().columns - _BAR - 14, 10)
    end = "" if done < total else "\n"
    sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (_BAR - filled)}] {done:3}/{total:<3} {what[:room]}{end}")
    sys.stderr.flush()
