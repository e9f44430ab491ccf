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


def seconds(text: str) -> float:
    """An interval as a sensor can have it, 0.001 to 86400.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not 0.001 <= value <= 86_400.0:
        raise ValueError(text)
    return value


def positive(text: str) -> int:
    """A number from 1 on.

    Raises:
        ValueError: it is none.
    """
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def add_enroll(command: argparse.ArgumentParser) -> None:
    """`wayside-edge enroll`, besides its configuration and folder."""
    command.add_argument("url", metavar="URL", help="address of the server, https://…")
    command.add_argument(
        *("token",),
        nargs="?",
        metavar="TOKEN",
        help="from: wayside-server token create, - to read it; without one this shows a code, and waits to be claimed",
    )
    command.add_argument(
        *("--token-file",),
        type=Path,
        metavar="FILE",
        help="read the token from a file, - for the input, so that no list of processes shows it; the file is wiped"
        " once the device is enrolled",
    )
    command.add_argument("--keep-token-file", action="store_true", help="leave that file: other devices need it")
    command.add_argument(
        *("--timeout",), type=seconds, metavar="SECONDS", help="give up waiting to be claimed after this"
    )
    command.add_argument("--key", metavar="URI", help="make the key in a PKCS#11 token: pkcs11:token=NAME;object=NAME")
    command.add_argument("--pin-file", type=Path, metavar="FILE", help="file with the token's PIN, mode 0600")
    command.add_argument("--pkcs11-module", type=Path, metavar="FILE", help="the token's PKCS#11 library")


def add_reset(command: argparse.ArgumentParser) -> None:
    """`wayside-edge reset`, besides its configuration."""
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.add_argument("--all", action="store_true", help="wipe the configuration too")


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


def add_read(command: argparse.ArgumentParser) -> None:
    """`wayside-edge read`."""
    command.add_argument("target", metavar="SENSOR", help="a kind of sensor, or the name of one in the configuration")
    command.add_argument("--config", type=Path, metavar="FILE", help="where buses and sensors have their names from")
    command.add_argument(
        "--bus",
        metavar="BUS",
        help="bus it is on: N of /dev/i2c-N, spidevX.Y, /dev/ttyUSB0, w1, or a name of the configuration",
    )
    command.add_argument("--address", type=address, metavar="ADDRESS", help="I2C address, as 0x76")
    command.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="a setting of the driver, as in TOML"
    )
    command.add_argument("--watch", action="store_true", help="go on and show a live table")
    command.add_argument(
        "--interval", type=seconds, metavar="SECONDS", help="from one read to the next (1, or the configuration's)"
    )
    command.add_argument("--count", type=positive, metavar="N", help="end a live table after so many reads")
    command.add_argument("--json", action="store_true", help="print each read as one JSON object in a line")


def add_doctor(command: argparse.ArgumentParser) -> None:
    """`wayside-edge doctor`, besides its configuration."""
    command.add_argument("--json", action="store_true", help="print the findings as one JSON object")


def add_new_driver(command: argparse.ArgumentParser) -> None:
    """`wayside-edge new-driver`."""
    command.add_argument("name", metavar="NAME", help="kind of sensor, such as bme280: small letters and digits")
    command.add_argument("--dir", type=Path, metavar="DIR", help="a new folder for it; wayside-NAME when not given")


def minutes(text: str) -> float:
    """A number of minutes, above 0 and at most a week's.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not 0.0 < value <= 10_080.0:
        raise ValueError(text)
    return value


def add_status(command: argparse.ArgumentParser) -> None:
    """`wayside-edge status`, besides its configuration."""
    command.add_argument("--watch", action="store_true", help="go on and show it every two seconds")
    command.add_argument("--json", action="store_true", help="print one JSON object, in a line")


def add_log_level(command: argparse.ArgumentParser) -> None:
    """`wayside-edge log-level`, besides its configuration."""
    command.add_argument(
        "what",
        nargs="*",
        metavar="[MODULE] LEVEL",
        help="part of the agent as wayside_edge.uplink, or all; debug, info, warning, error, or default for what the"
        " configuration says; with --send also off; nothing shows what holds",
    )
    command.add_argument(
        *("--for",),
        dest="minutes",
        type=minutes,
        metavar="MINUTES",
        help="go back to what the configuration says after this",
    )
    command.add_argument("--send", action="store_true", help="set from which level on lines are copied to the server")


def add_diagnose(command: argparse.ArgumentParser) -> None:
    """`wayside-edge diagnose`, besides its configuration."""
    command.add_argument(
        *("-o", "--output"), type=Path, metavar="FILE", help="where it goes; ./wayside-HOST-TIME.tar.gz when not given"
    )
