"""The command lines of this package's commands."""

import argparse
from pathlib import Path


def address(text: str) -> int:
    """An I2C address as people write it, `0x76` or `118`.

    Raises:
        ValueError: it is none.
    """
    value = int(text, 0)
    if not 0x03 <= value <= 0x77:
        raise ValueError(text)
    return value


def add_scan(command: argparse.ArgumentParser) -> None:
    """`wayside-edge scan`."""
    command.add_argument("--config", type=Path, metavar="FILE", help="scan the buses that this configuration names too")
    command.add_argument(
        "--bus", action="append", default=[], metavar="BUS", help="scan only this I2C bus, N of /dev/i2c-N or a name"
    )
    command.add_argument(
        "--ask-all",
        action="store_true",
        help="ask chips at 0x30 to 0x37 and 0x50 to 0x5f who they are too: that writes to what may be an EEPROM",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--toml", action="store_true", help="print [[bus]] and [[sensor]] tables for what was found")
    form.add_argument("--json", action="store_true", help="print one JSON object")
