"""Identity's services on PostgreSQL."""

from dataclasses import dataclass

import structlog

from wayside_server.app import Storage, utc_now
from wayside_server.config import ServerSettings
from wayside_server.domain.audit import AuditTrail
from wayside_server.errors import ConfigError
from wayside_server.identity.desk import Desk, open_desk
from wayside_server.identity.home import Home
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.people import PostgresPeople
from wayside_server.storage.sessions import PostgresSessions

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PostgresStores:
    """As `identity.desk.PeopleStores`."""

    people: PostgresPeople
    sessions: PostgresSessions
    keys: PostgresIdentity


def desk_on(home: Home, settings: ServerSettings, storage: Storage, trail: AuditTrail | None = None) -> Desk:
    """The desk of the installation on its open database.

    Raises:
        ConfigError: a file of the installation is missing or broken, or a grant is none.
    """
    stores = PostgresStores(PostgresPeople(storage.pool), PostgresSessions(storage.pool), storage.identity)
    base = base_of(settings)
    return open_desk(home, stores, trail or storage.audit, utc_now, base=base, oidc=settings.oidc)


def base_of(settings: ServerSettings) -> str:
    """How people reach the console."""
    return f"https://{settings.api.public_host}:{settings.api.port}"


def claim_link(home: Home, settings: ServerSettings) -> str:
    """Where the first person claims the installation, with the code.

    Raises:
        ConfigError: the code cannot be read or written.
    """
    return f"{base_of(settings)}/set-up?code={ensure_setup_code(home)}"


async def tell_unclaimed(home: Home, settings: ServerSettings, storage: Storage) -> None:
    """Says once how to claim an installation that nobody has."""
    desk = desk_on(home, settings, storage)
    if await desk.accounts.claimed():
        desk.forget_setup_code()
        return
    try:
        log.warning("nobody has an account yet; open this to make the first", url=claim_link(home, settings))
    except ConfigError as error:
        log.warning("nobody has an account yet", reason=str(error))
