"""The command wayside-server."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvloop

from wayside_server import app, config
from wayside_server.commands.packages import add_packages
from wayside_server.config import ServerSettings
from wayside_server.errors import ConfigError, NotFoundError, TransientError
from wayside_server.identity import installation
from wayside_server.identity.home import DEFAULT_HOME, Home
from wayside_server.identity.install_line import install_line, server_pin
from wayside_server.identity.keys import LINK_LIFE
from wayside_server.supervise import until_stopped
from wayside_shared.commands import with_version
from wayside_shared.errors import EXIT_CONFIG

EXIT_TRANSIENT = 75
"""EX_TEMPFAIL of sysexits.h: trying again may help."""


def main() -> None:
    """Runs the command line; ends with 0, with 78 when a person must act, with 75 when trying again may help."""
    options = parser().parse_args()
    _configure_log()
    try:
        options.command(options)
    except (ConfigError, NotFoundError) as error:
        _stop(error, EXIT_CONFIG)
    except TransientError as error:
        _stop(error, EXIT_TRANSIENT)


def _init(options: argparse.Namespace) -> None:
    home = Home(options.home)
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


def _token(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        hours = options.hours or settings.enrolment.token_hours
        enrolments = storage.enrolments(Home(options.home), settings)
        token = await enrolments.create_token(options.name, timedelta(hours=hours))
        print(token)
        # For a person at the terminal: programs read the token alone.
        pin = None if settings.api.public_url else server_pin(Home(options.home))
        print(f"on the board, type:\n{install_line(settings.api.url, pin, str(token))}", file=sys.stderr)

    _with_storage(options, create)


def _create_key(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, _: ServerSettings) -> None:
        life = None if options.days is None else timedelta(days=options.days)
        print(await storage.keys().create(options.label, life))

    _with_storage(options, create)


def _list_keys(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, _: ServerSettings) -> None:
        for key in await storage.keys().list():
            state = "good" if key.valid_at(app.utc_now()) else "revoked" if key.revoked_at else "expired"
            used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never used"
            print(f"{key.prefix}  {state:8}{key.created_at:%Y-%m-%d %H:%M}  {used:16}  {key.label}")

    _with_storage(options, show)


def _revoke_key(options: argparse.Namespace) -> None:
    async def revoke(storage: app.Storage, _: ServerSettings) -> None:
        await storage.keys().revoke(options.key)

    _with_storage(options, revoke)


def _login_link(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        token = await storage.keys().create_link()
        print(f"https://{settings.api.public_host}:{settings.api.port}/login/{token}")
        print(f"good once, for {LINK_LIFE.total_seconds() / 60:.0f} minutes", file=sys.stderr)

    _with_storage(options, create)


def _migrate(options: argparse.Namespace) -> None:
    home = Home(options.home)
    for name in asyncio.run(app.run_migrate(home, config.load(home))):
        print(name)


def _role(
    work: Callable[[Home, ServerSettings, argparse.Namespace], Coroutine[Any, Any, None]],
) -> Callable[[argparse.Namespace], None]:
    def run(options: argparse.Namespace) -> None:
        home = Home(options.home)
        settings = config.load(home)
        # Exports wait on their socket a hundred times a megabyte: uvloop nearly doubles their rows a second.
        uvloop.run(until_stopped(work(home, settings, options), supervised=options.supervised))

    return run


def _with_storage(
    options: argparse.Namespace, work: Callable[[app.Storage, ServerSettings], Coroutine[Any, Any, None]]
) -> None:
    async def run() -> None:
        home = Home(options.home)
        settings = config.load(home)
        async with app.open_storage(home, settings) as storage:
            await work(storage, settings)

    asyncio.run(run())


def parser() -> argparse.ArgumentParser:
    """The command line, for the reference page too."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the installation's folder (%(default)s)")
    whole = with_version(argparse.ArgumentParser(prog="wayside-server", description="The server of Wayside."))
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", parents=[shared], help="make CA, certificates, broker configuration, settings")
    init.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="name or address of this server; may be repeated (those of this machine)",
    )
    init.add_argument("--listen", metavar="ADDRESS", help=f"listen on this address only ({config.ANY_ADDRESS})")
    init.add_argument("--broker-port", type=int, metavar="N", help="the broker's TLS port (8883)")
    init.add_argument("--api-port", type=int, metavar="N", help="the API's TLS port (8443)")
    init.set_defaults(command=_init)

    _add_identity(commands, shared)
    add_packages(commands, shared)
    migrate = commands.add_parser("migrate", parents=[shared], help="bring the database to this version's schema")
    migrate.set_defaults(command=_migrate)
    _add_roles(commands, shared)
    return whole


def _add_identity(commands: Any, shared: argparse.ArgumentParser) -> None:
    tokens = commands.add_parser("token", help="one-time enrolment tokens").add_subparsers(required=True)
    token = tokens.add_parser("create", parents=[shared], help="print a new token")
    token.add_argument("--name", metavar="DEVICE", help="the device's name; made up when not given")
    token.add_argument(
        "--hours", type=_positive, metavar="H", help="how long it is good (24, or enrolment.token_hours)"
    )
    token.set_defaults(command=_token)

    keys = commands.add_parser("api-key", help="API keys").add_subparsers(required=True)
    create = keys.add_parser("create", parents=[shared], help="print a new key; it is shown once")
    create.add_argument("label", metavar="LABEL", help="what it is for")
    create.add_argument("--days", type=_positive, metavar="D", help="how long it is good; without, until revoked")
    create.set_defaults(command=_create_key)
    keys.add_parser("list", parents=[shared], help="all keys, by their prefix").set_defaults(command=_list_keys)
    revoke = keys.add_parser("revoke", parents=[shared], help="end a key and its sessions")
    revoke.add_argument("key", metavar="PREFIX", help="the key's prefix")
    revoke.set_defaults(command=_revoke_key)

    link = commands.add_parser("login-link", parents=[shared], help="print a one-time link into the console")
    link.set_defaults(command=_login_link)


def _add_roles(commands: Any, shared: argparse.ArgumentParser) -> None:
    shared = argparse.ArgumentParser(add_help=False, parents=[shared])
    # For processes that `run` starts: they stop when their standard input ends.
    shared.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    run = commands.add_parser("run", parents=[shared], help="every role, and PostgreSQL if no URL is set")
    run.set_defaults(command=_role(lambda home, settings, _: app.run_all(home, settings)))
    ingest = commands.add_parser("ingest", parents=[shared], help="one ingest session")
    ingest.add_argument(
        "--instance", type=int, choices=range(1, 9), default=1, help="each that runs needs its own (%(default)s)"
    )
    ingest.set_defaults(command=_role(lambda home, settings, options: app.run_ingest(home, settings, options.instance)))
    api = commands.add_parser("api", parents=[shared], help="REST API, console and enrolment")
    api.set_defaults(command=_role(lambda home, settings, _: app.run_api(home, settings)))
    jobs = commands.add_parser("jobs", parents=[shared], help="periodic work")
    jobs.set_defaults(command=_role(lambda home, settings, _: app.run_jobs(home, settings)))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 100000")
    return value


def _configure_log() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _stop(error: Exception, code: int) -> None:
    print(f"wayside-server: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
