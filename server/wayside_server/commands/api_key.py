"""`wayside-server api-key create|list|revoke`."""

import argparse
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from wayside_server import app
from wayside_server.app.people import desk_on
from wayside_server.commands.storage import with_storage
from wayside_server.config import ServerSettings
from wayside_server.domain.access import DEFAULT_SCOPES, SCOPES
from wayside_server.identity.home import Home
from wayside_server.identity.keys import KEY_LIFE, KeyRecord, scopes_of
from wayside_shared.tables import columns
from wayside_shared.text import printable

_HEAD = ("PREFIX", "STATE", "TENANT", "SCOPES", "ENDS", "LAST USED", "MADE BY", "LABEL")


def add_api_key(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `commands`."""
    keys = commands.add_parser("api-key", help="API keys").add_subparsers(required=True)
    create = keys.add_parser("create", parents=[shared], help="print a new key; it is shown once")
    create.add_argument("label", metavar="LABEL", help="what it is for")
    create.add_argument("--days", type=_days, metavar="D", default=KEY_LIFE.days, help="how long (%(default)s)")
    create.add_argument("--tenant", metavar="NAME", default="default", help="within which tenant (%(default)s)")
    create.add_argument(
        "--scope",
        action="append",
        metavar="SCOPE",
        help=f"what it may: {', '.join(one.value for one in SCOPES)}; may be repeated (read and metrics)",
    )
    create.set_defaults(command=_create)
    keys.add_parser("list", parents=[shared], help="all keys, by their prefix").set_defaults(command=_list)
    revoke = keys.add_parser("revoke", parents=[shared], help="end a key, and those that it made")
    revoke.add_argument("key", metavar="PREFIX", help="the key's prefix")
    revoke.set_defaults(command=_revoke)


def _create(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        tenant_id = await desk.accounts.tenant_id(options.tenant)
        scopes = scopes_of(options.scope) if options.scope else DEFAULT_SCOPES
        life = timedelta(days=options.days)
        print(await desk.keys.create(options.label, life, scopes=scopes, tenant_id=tenant_id))

    with_storage(options, create)


def _list(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, settings: ServerSettings) -> None:
        keys = await desk_on(Home(options.home), settings, storage).keys.list()
        if not keys:
            print("there are no API keys; make one: wayside-server api-key create LABEL")
            return
        tenants = {tenant.id: tenant.name for tenant in await storage.tenants().every()}
        print("\n".join(columns([_HEAD, *(_row(key, tenants, app.utc_now()) for key in keys)])))

    with_storage(options, show)


def _row(key: KeyRecord, tenants: Mapping[int, str], now: datetime) -> tuple[str, ...]:
    ends = f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never"
    used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never"
    scopes = ",".join(sorted(key.scopes))
    tenant = tenants.get(key.tenant_id, "-")
    return (key.prefix, _state(key, now), tenant, scopes, ends, used, key.made_by, printable(key.label))


def _state(key: KeyRecord, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "good" if key.valid_at(now) else "idle"


def _revoke(options: argparse.Namespace) -> None:
    async def revoke(storage: app.Storage, settings: ServerSettings) -> None:
        await desk_on(Home(options.home), settings, storage).keys.revoke(options.key)
        # The whole key may have been given; its secret part is not to stand on the screen once more.
        print("the key is revoked, and those that it made")

    with_storage(options, revoke)


def _days(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100_000:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 100000")
    return value
