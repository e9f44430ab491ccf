"""An ingest role with a trap: `python -m faults.ingest HOME INSTANCE POINT PASSES`, composed as the server's own."""

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from random import SystemRandom

from faults.points import Trap, ingest_parts
from wayside_server.config import load
from wayside_server.domain.rates import Rates
from wayside_server.identity.authority import service_name
from wayside_server.identity.home import Home
from wayside_server.ingest.mqtt import BrokerAddress
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.service import Ingest
from wayside_server.storage.database import new_pool
from wayside_server.storage.embedded import EmbeddedPostgres


async def run(home: Home, instance: int, trap: Trap) -> None:
    """Ingest until the trap springs."""
    settings = load(home)
    broker = settings.broker
    name = service_name(instance)
    address = BrokerAddress(broker.host, broker.port, name, home.ca_file, home.certificate(name), home.key(name))
    store, session = ingest_parts(trap)
    pace = Pace(Rates(settings.rates, time.monotonic))
    async with new_pool(EmbeddedPostgres(home.postgres).conninfo) as pool:
        await Ingest(partial(session, address), store(pool, "trapped", settings.limits), pace, SystemRandom()).run()


if __name__ == "__main__":
    asyncio.run(run(Home(Path(sys.argv[1])), int(sys.argv[2]), Trap(sys.argv[3], int(sys.argv[4]))))
