"""`wayside-server init`."""

import argparse
import ipaddress
import re
from typing import Any

from wayside_server import app, config
from wayside_server.errors import ConfigError
from wayside_server.identity import installation
from wayside_server.identity.home import Home
from wayside_server.identity.setup_code import ensure_setup_code

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_LONGEST_NAME = 253
"""Of a DNS name, in characters (RFC 1035, 2.3.4)."""


def add_init(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `commands`."""
    init = commands.add_parser("init", parents=[shared], help="make CA, certificates, broker configuration, settings")
    init.add_argument(
        "--host",
        action="append",
        type=_host,
        default=[],
        metavar="NAME",
        help="name or address of this server; may be repeated (those of this machine)",
    )
    init.add_argument(
        "--listen", type=_address, metavar="ADDRESS", help=f"listen on this address only ({config.ANY_ADDRESS})"
    )
    init.add_argument("--broker-port", type=_port, metavar="N", help="the broker's TLS port (8883)")
    init.add_argument("--api-port", type=_port, metavar="N", help="the API's TLS port (8443)")
    init.set_defaults(command=_init)


def _init(options: argparse.Namespace) -> None:
    home = Home(options.home)
    # Before anything is written: half an installation would stand in the way of the next attempt.
    _check_ports(home, options)
    config.refuse_others(home, listen=options.listen, broker_port=options.broker_port, api_port=options.api_port)
    public = options.host[0] if options.host else installation.default_hosts()[0]
    installation.install(home, options.host, app.utc_now())
    config.ensure(
        home,
        public_host=public,
        listen=options.listen,
        broker_port=options.broker_port,
        api_port=options.api_port,
    )
    settings = config.load(home)
    installation.write_broker_files(home, settings.broker.listen, settings.broker.port)
    print(f"installation ready in {home.path}")
    print(f"start the broker:  mosquitto -c {home.broker_config}")
    print(f"start the server:  wayside-server run --home {home.path}")
    print(f"set-up code for the first account (wayside-server setup-code shows it again):  {ensure_setup_code(home)}")


def _check_ports(home: Home, options: argparse.Namespace) -> None:
    if home.settings_file.exists():
        return
    defaults = config.ServerSettings()
    broker = options.broker_port or defaults.broker.port
    api = options.api_port or defaults.api.port
    if broker == api:
        name = "--broker-port" if options.api_port is None else "--api-port"
        other = "the API's" if options.api_port is None else "the broker's"
        raise ConfigError(f"{name} {broker} is {other} port too; choose another one")


def _host(text: str) -> str:
    """A DNS name or an IP address."""
    if not _is_address(text) and not _is_name(text):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is neither a DNS name nor an IP address; name this server as boards and browsers reach it,"
            " such as telemetry.example or 192.0.2.7"
        )
    return text


def _address(text: str) -> str:
    """An IP address, or the one name that every machine has."""
    if not _is_address(text) and text != "localhost":
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is no IP address; give one that this machine has, such as 127.0.0.1, or leave the option"
            " out to listen on all"
        )
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no port; give a number from 1 to 65535")
    return int(text)


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    labels = text.split(".")
    # What ends in a number is an address, and this one is none (RFC 3696, 2).
    return len(text) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
