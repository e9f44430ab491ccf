"""What every command line of Wayside has."""

import argparse

from wayside_shared import VERSION


def with_version(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """`parser` with `--version`."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}", help="print the version and end")
    return parser
