"""`wayside-server token create|list|revoke`."""

import argparse
import sys
from datetime import timedelta
from typing import Any

from wayside_server import app
from wayside_server.commands.storage import add_tenant, typist, with_storage
from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home
from wayside_server.identity.install_line import line_for
from wayside_server.identity.tokens import MAX_LIFE, MAX_USES, TokenOrder, TokenRecord
from wayside_server.packages.shelf import FETCH, Shelf

PAGE = 1_000
_LAST = 1 << 31


def add_token(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `commands`."""
    tokens = commands.add_parser("token", help="enrolment tokens").add_subparsers(required=True)
    create = tokens.add_parser("create", parents=[shared], help="print a new token; it is shown once")
    names = create.add_mutually_exclusive_group()
    names.add_argument("--name", metavar="DEVICE", help="the device's name; made up when not given")
    names.add_argument("--prefix", metavar="TEXT", help="devices are named this and a number")
    create.add_argument(
        "--replace", action="store_true", help="the name may be an enrolled device's, whose board is then locked out"
    )
    create.add_argument("--group", metavar="NAME", help="group of the devices, made when missing")
    create.add_argument("--uses", type=int, default=1, metavar="N", help=f"devices, up to {MAX_USES} (%(default)s)")
    create.add_argument("--hours", type=hours, metavar="H", help="how long it is good (enrolment.token_hours)")
    create.add_argument("--label", metavar="TEXT", help="what it is for")
    create.set_defaults(command=_create)
    listing = tokens.add_parser("list", parents=[shared], help="all tokens, the latest first")
    listing.set_defaults(command=_list)
    revoke = tokens.add_parser("revoke", parents=[shared], help="end a token; devices that it let in stay")
    revoke.add_argument("number", type=int, metavar="NUMBER", help="the token's number, as list shows it")
    revoke.set_defaults(command=_revoke)
    for each in (create, listing, revoke):
        add_tenant(each)


def hours(text: str) -> timedelta:
    """A number of hours, up to MAX_LIFE."""
    most = MAX_LIFE.total_seconds() / 3600
    value = float(text)
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {most:.0f}")
    return timedelta(hours=value)


def _create(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        order = TokenOrder(
            options.hours or timedelta(hours=settings.enrolment.token_hours),
            *(options.name, options.prefix, options.group, options.uses, options.label or "", options.replace),
        )
        tokens = storage.tokens(Home(options.home))
        token = await tokens.create(order, await typist(storage, options.tenant))
        print(token)
        # The token alone on standard output, so that scripts can take it.
        line = line_for(Home(options.home), settings.api.url, own_ca=settings.api.public_url is None)
        print(f"on the board, type:\n{line(str(token))}", file=sys.stderr)
        if Shelf(Home(options.home)).manifest() is None:
            print(f"but the server has nothing to install yet; first run: {FETCH}", file=sys.stderr)

    with_storage(options, create)


def _list(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, _: ServerSettings) -> None:
        tokens = storage.tokens(Home(options.home))
        caller = await typist(storage, options.tenant)
        before_id = _LAST
        while page := await tokens.listed(caller, before_id=before_id, limit=PAGE):
            for record in page:
                print(_line(record))
            before_id = page[-1].token_id

    with_storage(options, show)


def _line(record: TokenRecord) -> str:
    names = record.name or (f"{record.prefix}…" if record.prefix else "made up")
    state = record.state(app.utc_now())
    uses = f"{record.uses}/{record.max_uses}"
    return (
        f"{record.token_id:6}  {state:8}{uses:>11}  until {record.expires_at:%Y-%m-%d %H:%M}  {names:20}  "
        f"{record.group or '-':16}  {record.created_by}  {record.label}".rstrip()
    )


def _revoke(options: argparse.Namespace) -> None:
    async def revoke(storage: app.Storage, _: ServerSettings) -> None:
        tokens = storage.tokens(Home(options.home))
        await tokens.revoke(options.number, await typist(storage, options.tenant))
        print(f"token {options.number} is revoked; devices that it let in stay")

    with_storage(options, revoke)
