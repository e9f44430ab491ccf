"""The command wayside-edge."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from wayside_edge import config
from wayside_edge.commands import arguments
from wayside_edge.errors import ConfigError, WaysideError
from wayside_shared.commands import while_read, with_version
from wayside_shared.errors import EXIT_CONFIG

DEFAULT_CONFIG = Path("/etc/wayside/edge.toml")
DEFAULT_IDENTITY = Path("/var/lib/wayside/identity")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 for a failure, 78 for a wrong configuration."""
    return while_read(lambda: _run_command(arguments))


def _run_command(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except ConfigError as error:
        print(f"wayside-edge: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except WaysideError as error:
        print(f"wayside-edge: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _sample_config(options: argparse.Namespace) -> int:
    print(config.sample(options.kind), end="")
    return 0


def _run(options: argparse.Namespace) -> int:
    # Until the agent takes it, it would end the process: a reload that comes while it starts has nothing to do.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = config.load(options.config)
    app = importlib.import_module("wayside_edge.app")  # a command that only checks need not load what runs
    return int(app.run(settings, options.config) or 0)


def _for_people(options: argparse.Namespace) -> int:
    module = importlib.import_module(f"wayside_edge.commands.{options.command.replace('-', '_')}")
    return int(module.run(options))


_COMMANDS = {
    "scan": _for_people,
    "read": _for_people,
    "doctor": _for_people,
    "status": _for_people,
    "log-level": _for_people,
    "diagnose": _for_people,
    "new-driver": _for_people,
    "run": _run,
    "enroll": _for_people,
    "reset": _for_people,
    "check-config": _for_people,
    "sample-config": _sample_config,
}


def parser() -> argparse.ArgumentParser:
    """The command line, for the reference page too."""
    whole = with_version(
        argparse.ArgumentParser(prog="wayside-edge", description="Measure, keep and deliver every sample.")
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (("run", "measure and deliver until stopped"), ("check-config", "say whether a file is right")):
        command = commands.add_parser(name, help=text)
        _add_config(command)
    sample = commands.add_parser("sample-config", help="print a commented configuration file")
    sample.add_argument("kind", nargs="*", metavar="KIND", help="kinds of sensor to show; without any, their names")
    enroll = commands.add_parser("enroll", help="get this device its certificate, with a one-time token or a code")
    _add_config(enroll)
    arguments.add_enroll(enroll)
    enroll.add_argument(
        *("--dir", "--directory"),
        dest="directory",
        type=Path,
        default=DEFAULT_IDENTITY,
        metavar="DIR",
        help="where key and certificate go (%(default)s)",
    )
    arguments.add_scan(commands.add_parser("scan", help="find buses and the chips on them"))
    arguments.add_read(commands.add_parser("read", help="read one sensor, once or as a live table"))
    doctor = commands.add_parser("doctor", help="say what keeps this machine from measuring and delivering")
    _add_config(doctor)
    arguments.add_doctor(doctor)
    for name, text, add in (
        ("status", "say how the agent on this board fares", arguments.add_status),
        ("log-level", "change how much the running agent says", arguments.add_log_level),
        ("diagnose", "gather what tells what is wrong into one file, without secrets", arguments.add_diagnose),
    ):
        command = commands.add_parser(name, help=text)
        _add_config(command)
        add(command)
    reset = commands.add_parser("reset", help="wipe this device's key, certificate and samples")
    _add_config(reset)
    arguments.add_reset(reset)
    arguments.add_new_driver(commands.add_parser("new-driver", help="write a package with a driver to start from"))
    return whole


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="the agent's configuration (%(default)s)"
    )


if __name__ == "__main__":
    sys.exit(main())
