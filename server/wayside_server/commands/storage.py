"""The installation's database for a command, and who types it."""

import argparse
import asyncio
import getpass
from collections.abc import Callable, Coroutine
from typing import Any

from wayside_server import app, config
from wayside_server.config import ServerSettings
from wayside_server.domain.caller import Caller
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home


def with_storage(
    options: argparse.Namespace, work: Callable[[app.Storage, ServerSettings], Coroutine[Any, Any, None]]
) -> None:
    """Runs `work` on the database of the installation that `options.home` names.

    Raises:
        ConfigError: there is no installation, or its database is not fit.
        StorageError: the database is away.
    """

    async def run() -> None:
        home = Home(options.home)
        settings = config.load(home)
        async with app.open_storage(home, settings) as storage:
            await work(storage, settings)

    asyncio.run(run())


async def typist(storage: app.Storage, tenant: str) -> Caller:
    """Whoever types this, within the tenant of that name.

    Raises:
        ConfigError: there is no such tenant.
    """
    found = await storage.enrolment.tenant_id(tenant)
    if found is None:
        raise ConfigError(f"there is no tenant {tenant[:63]!r}; name one that there is with --tenant")
    return Caller(f"command line:{getpass.getuser()}", found, None, installs=True)


def add_tenant(parser: argparse.ArgumentParser) -> None:
    """The option that names the tenant."""
    parser.add_argument("--tenant", default="default", metavar="NAME", help="whose devices (%(default)s)")
