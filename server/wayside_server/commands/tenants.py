"""`wayside-server tenant create|limit|list|delete`."""

import argparse
import getpass
import sys
from typing import Any

from wayside_server import app
from wayside_server.commands.storage import with_storage
from wayside_server.config import ServerSettings
from wayside_server.domain.tenants import MOST, Quota, Tenant, shares
from wayside_server.errors import ConfigError
from wayside_shared.tables import plural


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
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(command=_delete_tenant)


def _create_tenant(options: argparse.Namespace) -> None:
    async def create(storage: app.Storage, _: ServerSettings) -> None:
        title = options.title or options.name
        quota = _quota(options)
        await storage.tenants().create(options.name, title, quota, actor=_actor())
        print(f"tenant {options.name} is made: {_told(quota)}")

    with_storage(options, create)


def _limit_tenant(options: argparse.Namespace) -> None:
    async def limit(storage: app.Storage, _: ServerSettings) -> None:
        quota = _quota(options)
        await storage.tenants().limit(options.name, quota, actor=_actor())
        print(f"tenant {options.name} may have {_told(quota)}")

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
    if not options.yes:
        _ask(options)

    async def delete(storage: app.Storage, _: ServerSettings) -> None:
        rows: dict[str, int] = {}
        steps = storage.tenants().delete(options.name, actor=_actor(), force=options.force)
        async for step in steps:
            rows[step.table] = step.rows
            _show_progress(f"{step.table}: {step.rows:,} rows")
        _show_progress("")
        print(f"tenant {options.name} is deleted, {plural(sum(rows.values()), 'row')}; none is left")

    with_storage(options, delete)


def _ask(options: argparse.Namespace) -> None:
    """Lets whoever types it type the tenant's name.

    Raises:
        ConfigError: nobody can be asked, or it is another name.
        NotFoundError: there is no such tenant.
    """
    found: list[Tenant] = []

    async def find(storage: app.Storage, _: ServerSettings) -> None:
        found.append(await storage.tenants().find(options.name))

    with_storage(options, find)
    (tenant,) = found
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked here; add --yes to delete tenant {tenant.name} without a question")
    had = ", ".join(f"{count:,} {what}" for what, count, _ in shares(tenant))
    print(f"This deletes tenant {tenant.name} ({tenant.title}) for good, with its keys, tokens and all it has: {had}.")
    if _typed(f"Type {tenant.name} to go on: ") != tenant.name:
        raise ConfigError("that is not its name; nothing was deleted")


def _typed(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return ""


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}", end="\x1b[K", file=sys.stderr, flush=True)


def _told(quota: Quota) -> str:
    limits = (("devices", quota.devices), ("series", quota.series), ("samples", quota.samples))
    return ", ".join(f"{what} without limit" if most is None else f"up to {most:,} {what}" for what, most in limits)


def _quota(options: argparse.Namespace) -> Quota:
    return Quota(options.max_devices, options.max_series, options.max_samples)


def _actor() -> str:
    return f"command line:{getpass.getuser()}"


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"must be between 0 and {MOST}")
    return value
