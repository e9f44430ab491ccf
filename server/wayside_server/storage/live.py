"""New samples through LISTEN: one connection a process, fanned out as signals."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from wayside_server.errors import StorageError
from wayside_server.storage.database import translated
from wayside_server.storage.roles import AS_APP
from wayside_server.storage.statements import load_statements

_SQL = load_statements("live")

CHANNEL_RETRY_S = 1.0


class PostgresLive:
    """Implements `domain.live.Live`.

    Args:
        conninfo: the database, for the connection that listens.
    """

    def __init__(self, conninfo: str) -> None:
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

    async def _listen(self) -> None:
        with translated():
            # Keep-alives find a database that went away without a word.
            async with await psycopg.AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                options=AS_APP,
                connect_timeout=10,
                keepalives_idle=15,
                keepalives_interval=5,
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
