"""New samples through LISTEN: one connection a process, fanned out as signals."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.rows import dict_row

from wayside_server.domain.moments import from_us
from wayside_server.domain.reading import Sample, Series
from wayside_server.errors import StorageError
from wayside_server.storage.database import Pool, connection, translated
from wayside_server.storage.statements import load_statements
from wayside_shared.quality import Quality

_SQL = load_statements("live")

CHANNEL_RETRY_S = 1.0
PAGE = 200
"""Samples of one series at a time: three minutes at 1 Hz, so that a resumed stream catches up in small steps."""


class PostgresLive:
    """Implements `domain.live.Live`.

    Args:
        pool: for looking up what is new.
        conninfo: the same database, for the connection that listens.
    """

    def __init__(self, pool: Pool, conninfo: str) -> None:
        self._pool = pool
        self._conninfo = conninfo
        self._signals: dict[int, set[asyncio.Event]] = {}

    async def run(self) -> None:
        while True:
            try:
                await self._listen()
            except StorageError:
                await asyncio.sleep(CHANNEL_RETRY_S)

    @contextmanager
    def follow(self, device_id: int) -> Iterator[asyncio.Event]:
        signal = asyncio.Event()
        self._signals.setdefault(device_id, set()).add(signal)
        try:
            yield signal
        finally:
            self._signals[device_id].discard(signal)
            if not self._signals[device_id]:
                del self._signals[device_id]

    async def newer(self, marks: Mapping[int, int]) -> Sequence[Sample]:
        values = {"ids": list(marks), "marks": [from_us(us) for us in marks.values()], "limit": PAGE}
        async with connection(self._pool) as conn, conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL["newer"], values)
            rows = await cursor.fetchall()
        return [
            Sample(
                Series(row["id"], row["name"], row["unit"]),
                row["ts"],
                row["value_json"] if row["value"] is None else row["value"],
                row["quality"] or Quality.GOOD,
            )
            for row in rows
        ]

    async def _listen(self) -> None:
        with translated():
            # Keep-alives find a database that went away without a word.
            async with await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, connect_timeout=10, keepalives_idle=15, keepalives_interval=5
            ) as conn:
                await conn.execute(_SQL["listen"])
                # Whatever was committed while nobody listened.
                self._wake(list(self._signals))
                async for notice in conn.notifies():
                    self._wake([int(part) for part in notice.payload.split(",") if part.isdecimal()])

    def _wake(self, device_ids: list[int]) -> None:
        for device_id in device_ids:
            for signal in self._signals.get(device_id, ()):
                signal.set()
