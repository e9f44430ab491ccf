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
from wayside_server.app import person_command
from wayside_server.app.people import base_of, claim_link, desk_on
from wayside_server.commands.audit import add_audit
from wayside_server.commands.device_import import add_device_import
from wayside_server.commands.packages import add_packages
from wayside_server.commands.revocation import add_revocation
from wayside_server.commands.storage import with_storage
from wayside_server.commands.tenants import add_tenants
from wayside_server.commands.token import add_token
from wayside_server.config import ServerSettings
from wayside_server.domain.access import DEFAULT_SCOPES, SCOPES
from wayside_server.errors import ConfigError, NotFoundError, TransientError
from wayside_server.identity import installation
from wayside_server.identity.home import DEFAULT_HOME, Home
from wayside_server.identity.keys import KEY_LIFE, KeyRecord, scopes_of
from wayside_server.identity.sessions import LINK_LIFE
from wayside_server.identity.setup_code import ensure_setup_code
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
    print(f"set-up code for the first account (wayside-server setup-code shows it again):  {ensure_setup_code(home)}")


def _create_key(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        tenant_id = await desk.accounts.tenant_id(options.tenant)
        scopes = scopes_of(options.scope) if options.scope else DEFAULT_SCOPES
        life = timedelta(days=options.days)
        print(await desk.keys.create(options.label, life, scopes=scopes, tenant_id=tenant_id))

    with_storage(options, create)


def _list_keys(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, settings: ServerSettings) -> None:
        for key in await desk_on(Home(options.home), settings, storage).keys.list():
            used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never used"
            may = ",".join(sorted(key.scopes))
            state = _state(key)
            print(f"{key.prefix}  {state:8}{key.created_at:%Y-%m-%d %H:%M}  {used:16}  {may}  {key.label}")

    with_storage(options, show)


def _revoke_key(options: argparse.Namespace) -> None:
    async def revoke(storage: app.Storage, settings: ServerSettings) -> None:
        await desk_on(Home(options.home), settings, storage).keys.revoke(options.key)

    with_storage(options, revoke)


def _state(key: KeyRecord) -> str:
    now = app.utc_now()
    if key.revoked_at:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "good" if key.valid_at(now) else "idle"


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
    keys = commands.add_parser("api-key", help="API keys").add_subparsers(required=True)
    create = keys.add_parser("create", parents=[shared], help="print a new key; it is shown once")
    create.add_argument("label", metavar="LABEL", help="what it is for")
    create.add_argument("--days", type=_positive, metavar="D", default=KEY_LIFE.days, help="how long (%(default)s)")
    create.add_argument("--tenant", metavar="NAME", default="default", help="within which tenant (%(default)s)")
    create.add_argument(
        "--scope",
        action="append",
        metavar="SCOPE",
        help=f"what it may: {', '.join(one.value for one in SCOPES)}; may be repeated (read and metrics)",
    )
    create.set_defaults(command=_create_key)
    keys.add_parser("list", parents=[shared], help="all keys, by their prefix").set_defaults(command=_list_keys)
    revoke = keys.add_parser("revoke", parents=[shared], help="end a key, and those that it made")
    revoke.add_argument("key", metavar="PREFIX", help="the key's prefix")
    revoke.set_defaults(command=_revoke_key)

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
