"""What a person does to identities on the server itself."""

import asyncio
import getpass
from datetime import UTC

from wayside_server.app import Storage, utc_now
from wayside_server.app.jobs import enforcement, list_publisher
from wayside_server.config import ServerSettings
from wayside_server.domain.access import Permission, Principal
from wayside_server.errors import ConfigError
from wayside_server.identity.crl import Reason
from wayside_server.identity.home import Home
from wayside_server.identity.revocation import Marked, Revocations
from wayside_server.storage.revocation import PostgresRevocations

ENFORCED_WITHIN_S = 20.0
"""Several attempts of some seconds; whoever waits at a terminal learns more from the log then."""
AGAIN_S = 0.5


class Identities:
    """Commands about identities on an open database.

    Args:
        home: the installation.
        settings: its settings.
        storage: its database.
    """

    def __init__(self, home: Home, settings: ServerSettings, storage: Storage) -> None:
        self._store = PostgresRevocations(storage.pool, storage.conninfo)
        self._revocations = Revocations(self._store, storage.audit, utc_now)
        self._enforcement = enforcement(home, settings, self._store)

    async def revoke(self, device: str, reason: Reason) -> Marked:
        """As `Revocations.revoke`, for whoever types it."""
        return await self._revocations.revoke(device, _typist(), reason)

    async def restore(self, device: str) -> Marked:
        """As `Revocations.restore`, for whoever types it."""
        return await self._revocations.restore(device, _typist())

    async def enforce(self) -> str:
        """Brings it to the broker, and says how that went; the role `jobs` does the same at the same time."""
        try:
            async with asyncio.timeout(ENFORCED_WITHIN_S):
                # Another process may be at it, and tells nobody when it is done.
                while not await self._enforcement.enforce():  # noqa: ASYNC110
                    await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            return "the broker does not have it yet; the role jobs goes on trying"
        except ConfigError as error:
            return f"the list was not published here ({error}); the role jobs does it where it runs"
        return "the broker has it"


def renew_list(home: Home, settings: ServerSettings) -> str:
    """Signs the revocation list on disk anew, without the database; says until when it is good.

    Raises:
        ConfigError: there is no list, or it cannot be read or written.
    """
    published = list_publisher(home, settings).renew()
    assert published is not None, "it is renewed however much of its life is left"
    end = published.lists.next_update.astimezone(UTC)
    told = "the broker reads it" if published.told else "no broker runs here that could be told of it"
    return f"the revocation list is good until {end:%Y-%m-%d %H:%M} UTC; {told}"


def _typist() -> Principal:
    return Principal(f"command line:{getpass.getuser()}", "command line", None, frozenset([Permission.MANAGE]))
