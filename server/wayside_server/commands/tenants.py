"""`wayside-server tenant create|limit|list|delete`."""

import argparse
import getpass
import sys
from typing import Any

from wayside_server import app
from wayside_server.commands.storage import with_storage
from wayside_server.config import ServerSettings
from wayside_server.domain.tenants import MOST, Quota, shares


def add_tenants(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `commands`."""
    quota = argparse.ArgumentParser(add_help=False)
    for name in ("devices", "series", "samples"):
        quota.add_argument(
            f"--max-{name}", type=_count, metavar="N", help=f"most {name} it may have; without, any number"
        )
    tenants = commands.add_parser("tenant", help="tenants").add_subparsers(required=True)
    create = tenants.add_parser("create", parents=[shared, quota], help="make one, without people, keys or devices")
    create.add_argument("name", metavar="NAME", help="by which programs name it; never changed")
    create.add_argument("--title", help="what people call it (its name)")
    create.set_defaults(command=_create_tenant)
    limit = tenants.add_parser("limit", parents=[shared, quota], help="set what one may have, in place of all before")
    limit.add_argument("name", metavar="NAME", help="the tenant's")
    limit.set_defaults(command=_limit_tenant)
    tenants.add_parser("list", parents=[shared], help="all, with what they have").set_defaults(command=_list_tenants)
    delete = tenants.add_parser("delete", parents=[shared], help="delete one with all it has, for good")
    delete.add_argument("name", metavar="NAME", help="the tenant's")
    delete.add_argument("--force", action="store_true", help="even if its devices could still send; they are put out")
    delete.set_defaults(command=_delete_tenant)


def _create_tenant(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, _: ServerSettings) -> None:
        title = options.title or options.name
        await storage.tenants().create(options.name, title, _quota(options), actor=_actor())

    with_storage(options, create)


def _limit_tenant(options: argparse.Namespace) -> None:
    async def limit(storage: app.Storage, _: ServerSettings) -> None:
        await storage.tenants().limit(options.name, _quota(options), actor=_actor())

    with_storage(options, limit)


def _list_tenants(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, _: ServerSettings) -> None:
        for tenant in await storage.tenants().every():
            had = [
                f"{name} {count:,}" + ("" if most is None else f" of {most:,}") for name, count, most in shares(tenant)
            ]
            state = "" if tenant.closed_at is None else "  being deleted"
            print(f"{tenant.name}  {tenant.title}  {', '.join(had)}{state}")

    with_storage(options, show)


def _delete_tenant(options: argparse.Namespace) -> None:
    async def delete(storage: app.Storage, _: ServerSettings) -> None:
        rows: dict[str, int] = {}
        steps = storage.tenants().delete(options.name, actor=_actor(), force=options.force)
        async for step in steps:
            rows[step.table] = step.rows
            print(f"\r{step.table}: {step.rows:,} rows", end="\x1b[K", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print(f"tenant {options.name} is deleted, {sum(rows.values()):,} rows; none is left")

    with_storage(options, delete)


def _quota(options: argparse.Namespace) -> Quota:
    return Quota(options.max_devices, options.max_series, options.max_samples)


def _actor() -> str:
    return f"command line:{getpass.getuser()}"


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"must be between 0 and {MOST}")
    return value
