"""What every command line of Wayside has."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any


class Version(argparse.Action):
    """`--version`: looked up only when it is asked for, because that takes as long as starting does."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print name and version, and end."""
        version = importlib.import_module("importlib.metadata").version("wayside")
        sys.stdout.write(f"{parser.prog} {version}\n")
        parser.exit()


def with_version(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """`parser` with `--version`."""
    parser.add_argument("--version", action=Version, help="print the version and end")
    return parser
