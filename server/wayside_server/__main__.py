"""The command wayside-server."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any

import structlog
import uvloop
from structlog.typing import Processor

from wayside_server import app, config
from wayside_server.app import person_command
from wayside_server.app.people import base_of, claim_link, desk_on
from wayside_server.commands.api_key import add_api_key
from wayside_server.commands.audit import add_audit
from wayside_server.commands.device_import import add_device_import
from wayside_server.commands.init import add_init
from wayside_server.commands.packages import add_packages
from wayside_server.commands.revocation import add_revocation
from wayside_server.commands.storage import with_storage
from wayside_server.commands.tenants import add_tenants
from wayside_server.commands.token import add_token
from wayside_server.config import ServerSettings
from wayside_server.errors import ConfigError, NotFoundError, TransientError
from wayside_server.identity.home import DEFAULT_HOME, Home
from wayside_server.identity.sessions import LINK_LIFE
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.supervise import until_stopped
from wayside_shared.commands import while_read, with_version
from wayside_shared.errors import EXIT_CONFIG

EXIT_INTERRUPTED = 130
EXIT_TRANSIENT = 75
"""EX_TEMPFAIL of sysexits.h: trying again may help."""


def main() -> int:
    """Runs the command line; returns 0, 78 when a person must act, 75 when trying again may help."""
    return while_read(_run)


def _run() -> int:
    options = parser().parse_args()
    # Roles run for days and write a log; other commands print what they have to say.
    _configure_log(role="supervised" in options)
    try:
        options.command(options)
    except (ConfigError, NotFoundError) as error:
        return _failed(error, EXIT_CONFIG)
    except TransientError as error:
        return _failed(error, EXIT_TRANSIENT)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _setup_code(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, settings: ServerSettings) -> None:
        home = Home(options.home)
        if await desk_on(home, settings, storage).accounts.claimed():
            raise ConfigError("there is an account already, so no set-up code is good; see wayside-server login-link")
        print(ensure_setup_code(home))
        print(f"type it at {base_of(settings)}/set-up", file=sys.stderr)

    with_storage(options, show)


def _login_link(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        home = Home(options.home)
        desk = desk_on(home, settings, storage)
        if options.new_administrator is not None:
            await desk.machine.add_administrator(options.new_administrator)
            desk.forget_setup_code()
        elif not await desk.accounts.claimed():
            print(claim_link(home, settings))
            print("nobody has an account yet: the link leads to making the first", file=sys.stderr)
            return
        token = await desk.sessions.create_link(options.new_administrator or options.person)
        print(f"{desk.base}/login/{token}")
        print(f"good once, for {LINK_LIFE.total_seconds() / 60:.0f} minutes", file=sys.stderr)

    with_storage(options, create)


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


def parser() -> argparse.ArgumentParser:
    """The command line, for the reference page too."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--home", type=Path, default=DEFAULT_HOME, help="the installation's folder (%(default)s)")
    whole = with_version(argparse.ArgumentParser(prog="wayside-server", description="The server of Wayside."))
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    add_init(commands, shared)
    _add_identity(commands, shared)
    add_audit(commands, shared)
    add_packages(commands, shared)
    migrate = commands.add_parser("migrate", parents=[shared], help="bring the database to this version's schema")
    migrate.set_defaults(command=_migrate)
    _add_roles(commands, shared)
    return whole


def _add_identity(commands: Any, shared: argparse.ArgumentParser) -> None:
    add_token(commands, shared)
    devices = commands.add_parser("device", help="devices").add_subparsers(required=True)
    add_device_import(devices, shared)
    add_revocation(commands, devices, shared)
    add_api_key(commands, shared)
    add_tenants(commands, shared)
    link = commands.add_parser("login-link", parents=[shared], help="print a one-time link into the console")
    whose = link.add_mutually_exclusive_group()
    whose.add_argument("--person", metavar="NAME", help="for whom (the first administrator of the installation)")
    whose.add_argument(
        "--new-administrator", metavar="NAME", help="make this account first, an administrator without a passphrase"
    )
    link.set_defaults(command=_login_link)
    code = commands.add_parser("setup-code", parents=[shared], help="print the code that makes the first account")
    code.set_defaults(command=_setup_code)
    person_command.add(commands, shared, with_storage, print)


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


def _configure_log(*, role: bool) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    lines: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
    ]
    structlog.configure(
        processors=lines if role else [_as_a_command],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if role else logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _as_a_command(_logger: object, _level: str, told: MutableMapping[str, Any]) -> str:
    """A warning in the manner in which the command says what is wrong."""
    facts = ", ".join(str(value) for name, value in told.items() if name not in ("event", "exc_info"))
    return f"wayside-server: {told['event']}{f': {facts}' if facts else ''}"


def _failed(error: Exception, code: int) -> int:
    print(f"wayside-server: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
