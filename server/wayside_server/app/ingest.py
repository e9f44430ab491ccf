"""The ingest role's parts, joined."""

import time
from collections.abc import Callable
from dataclasses import replace
from random import SystemRandom

from wayside_server.config import ServerSettings
from wayside_server.domain.rates import Rates
from wayside_server.identity.authority import service_name
from wayside_server.identity.home import Home
from wayside_server.ingest.mqtt import BrokerAddress, BrokerSession
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.service import Ingest
from wayside_server.storage.database import open_pool
from wayside_server.storage.ingest import PostgresIngest
from wayside_shared import VERSION


async def serve(home: Home, settings: ServerSettings, instance: int, where: str) -> None:
    """One ingest session after the other on the database at `where`, which is ready, until cancelled."""
    name = service_name(instance)
    address = BrokerAddress(
        host=settings.broker.host,
        port=settings.broker.port,
        name=name,
        ca_file=home.ca_file,
        cert_file=home.certificate(name),
        key_file=home.key(name),
    )
    async with open_pool(where) as pool:
        store = PostgresIngest(pool, f"wayside-server/{VERSION}", settings.limits)
        await _ingest(address, store, _pace(settings), watch_broker=instance == 1)


def _pace(settings: ServerSettings) -> Pace:
    """What one of the sessions lets through: the broker spreads the messages of each device over all of them."""
    limits, sessions = settings.rates, settings.ingest.sessions
    each = replace(
        limits,
        device_messages=limits.device_messages / sessions,
        tenant_messages=limits.tenant_messages / sessions,
    )
    return Pace(Rates(each, time.monotonic))


async def _ingest(address: BrokerAddress, store: PostgresIngest, pace: Pace, *, watch_broker: bool) -> None:
    def new_session(on_messages: Callable[[], None], on_end: Callable[[str], None]) -> BrokerSession:
        return BrokerSession(address, on_messages, on_end, ingest.on_broker_log if watch_broker else None)

    ingest = Ingest(new_session, store, pace, SystemRandom())
    await ingest.run()
