"""The jobs role's parts, joined, as far as identities go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from cryptography.hazmat.primitives import serialization

from wayside_server.app import utc_now
from wayside_server.config import ServerSettings
from wayside_server.errors import ConfigError
from wayside_server.identity.authority import new_key
from wayside_server.identity.home import Home
from wayside_server.identity.installation import load_serving
from wayside_server.identity.publication import ALARM_LEFT, ListPublisher, ListWatch
from wayside_server.ingest.takeover import Broker, BrokerSessions, Passport
from wayside_server.jobs.audits import Audits
from wayside_server.jobs.enforcement import Enforcement
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import Pool
from wayside_server.storage.revocation import PostgresRevocations
from wayside_server.supervise import all_or_none

log = structlog.get_logger(__name__)

RENEW_EVERY_S = 60.0
PASSPORT_LIFE = timedelta(minutes=10)
"""Long enough for one connection, at a broker whose clock is a little ahead."""


def list_publisher(home: Home, settings: ServerSettings) -> ListPublisher:
    """Of the revocation lists in `home`."""
    return ListPublisher(home, timedelta(days=settings.revocation.list_days), utc_now)


@asynccontextmanager
async def list_kept_alive(home: Home, settings: ServerSettings) -> AsyncIterator[None]:
    """Renews the lists at once, and on within the block, when less than half of their life is left.

    For the time in which there is no database yet: the broker may have been started before, and would refuse everybody.
    """
    publisher = list_publisher(home, settings)

    async def renew() -> None:
        while True:
            try:
                publisher.renew(ALARM_LEFT)
            except ConfigError as error:
                log.error("the revocation list could not be renewed", reason=str(error))
            await asyncio.sleep(RENEW_EVERY_S)

    async with all_or_none() as tasks:
        renewing = tasks.create_task(renew())
        yield
        renewing.cancel()


def enforcement(home: Home, settings: ServerSettings, store: PostgresRevocations) -> Enforcement:
    """Of what `store` says, at the broker of the settings."""
    broker = Broker(settings.broker.host, settings.broker.port, home.ca_file)
    sessions = BrokerSessions(broker, lambda device: _passport(home, device))
    return Enforcement(store, list_publisher(home, settings), sessions, utc_now)


async def watch_identities(home: Home, settings: ServerSettings, pool: Pool, where: str) -> None:
    """Revocations reach the broker, and certificates are audited, until cancelled."""
    store = PostgresRevocations(pool, where)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(enforcement(home, settings, store).run(store.watch))
        tasks.create_task(Audits(PostgresCertificates(pool), ListWatch(home, utc_now).complaint, utc_now).run())


def _passport(home: Home, device: str) -> Passport:
    authority, key = load_serving(home), new_key()
    day = timedelta(days=1)
    certificate = authority.issue_device(device, key.public_key(), now=utc_now() - day + PASSPORT_LIFE, days=1)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Passport(authority.chain_pem(certificate), pem)
