"""The host's side of a delivery: a broker that boards reach, ingest, and the ledger that it keeps."""

import asyncio
from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

from board.guest.system import GATEWAY
from wayside_server.domain.account import Account
from wayside_server.storage.database import Pool
from wayside_testkit.broker import Broker, running_broker
from wayside_testkit.credentials import HOSTS, CredentialsFactory
from wayside_testkit.delivery import server_side
from wayside_testkit.telemetry import reading_of

_LEDGER = (
    "SELECT encode(s.epoch, 'hex'), b.seq, b.n, b.outcome FROM ingest_batch b JOIN stream s ON s.id = b.stream_id"
    " JOIN device d ON d.id = s.device_id WHERE d.name = %s"
)
_VALUES = (
    "SELECT extract(epoch FROM ts)::float8, value FROM sample JOIN series s ON s.id = series_id"
    " JOIN device d ON d.id = s.device_id WHERE d.name = %s AND s.name = %s ORDER BY ts"
)
_TEXTS = (
    "SELECT value #>> '{}' FROM sample_value JOIN series s ON s.id = series_id"
    " JOIN device d ON d.id = s.device_id WHERE d.name = %s AND s.name = %s ORDER BY ts"
)
DEADLINE_S = 60.0
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that an outbox has taken: its number within its epoch, and its samples."""

    epoch: str
    seq: int
    samples: int


class Office:
    """Where boards deliver to.

    Args:
        broker: running.
        credentials: who signs for the boards.
        pool: the database.
    """

    def __init__(self, broker: Broker, credentials: CredentialsFactory, pool: Pool) -> None:
        self._broker = broker
        self._credentials = credentials
        self._pool = pool

    def uplink(self, device: str) -> str:
        """The `[uplink]` of the board `device`, which gets a certificate for it."""
        who = self._credentials.device(device)
        return (
            f'[uplink]\nhost = "{GATEWAY}"\nport = {self._broker.port}\ndevice = "{device}"\n'
            f'ca_file = "{who.ca_file}"\ncert_file = "{who.cert_file}"\nkey_file = "{who.key_file}"\n'
            "keepalive_s = 5\ndrain_s = 60.0\n"
        )

    async def account(self, device: str) -> Account:
        """What the server says of the board's samples, with its rows counted."""
        return await reading_of(self._pool, "").account(device, verify=True)

    async def outcomes(self, device: str) -> dict[Accepted, str]:
        """What became of every batch of the board that the server knows of."""
        rows = await self._rows(_LEDGER, device)
        return {Accepted(epoch, seq, n): outcome for epoch, seq, n, outcome in rows}

    async def values(self, device: str, series: str) -> Sequence[tuple[float, float]]:
        """UTC seconds and value of the stored samples of a series, by time."""
        return await self._rows(_VALUES, device, series)

    async def texts(self, device: str, series: str) -> Sequence[str]:
        """The stored texts of a series, by time."""
        return [text for (text,) in await self._rows(_TEXTS, device, series)]

    async def stored_beyond(self, device: str, series: str, count: int) -> None:
        """Returns when more than `count` samples of a series are stored."""
        async with asyncio.timeout(DEADLINE_S):
            while len(await self.values(device, series)) <= count:  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(LOOK_S)

    async def settled(self, device: str, owed: Set[Accepted]) -> dict[Accepted, str]:
        """What became of every batch that the server heard of, once it has heard of all that are owed."""
        async with asyncio.timeout(DEADLINE_S):
            while not owed <= (outcomes := await self.outcomes(device)).keys():  # noqa: ASYNC110 - a table tells nobody
                await asyncio.sleep(LOOK_S)
        return outcomes

    async def _rows(self, statement: LiteralString, *values: str) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()


@asynccontextmanager
async def open_office(folder: Path, credentials: CredentialsFactory, pool: Pool) -> AsyncIterator[Office]:
    """An office with a broker and ingest, that works within the block.

    Args:
        folder: an existing one, for the broker.
        credentials: who signs.
        pool: the database.
    """
    with running_broker(folder, credentials, server=credentials.server((*HOSTS, GATEWAY))) as broker:
        async with server_side(broker, credentials.service(), pool):
            yield Office(broker, credentials, pool)
