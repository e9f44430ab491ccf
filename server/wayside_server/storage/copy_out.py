"""COPY TO STDOUT in large pieces: a Python object for each row would cost more than PostgreSQL takes to make it."""

import asyncio
from collections.abc import AsyncGenerator

from psycopg import errors
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from wayside_server.storage.database import Connection

PIECE_BYTES = 128 * 1024
"""About 3,000 rows, collected in about a millisecond: what the event loop is held up for at a time."""


async def copy_out(connection: Connection, statement: str) -> AsyncGenerator[bytes, None]:
    """The output of the COPY `statement`, in pieces that end where a row ends.

    The connection must be used for nothing else meanwhile; when the iteration is left early it must be closed.

    Raises:
        psycopg.Error: as PostgreSQL reports it.
    """
    pgconn = connection.pgconn
    pgconn.send_query(statement.encode())
    result = await _result(pgconn)
    if result is None or result.status != ExecStatus.COPY_OUT:
        raise _failure(result)
    buffer = bytearray()
    while True:
        size, row = pgconn.get_copy_data(1)
        if size > 0:
            buffer += row
            if len(buffer) >= PIECE_BYTES:
                yield bytes(buffer)
                buffer.clear()
        elif size == 0:
            await _readable(pgconn)
        else:
            break
    if buffer:
        yield bytes(buffer)
    end = await _result(pgconn)
    if end is None or end.status != ExecStatus.COMMAND_OK:
        raise _failure(end)
    while await _result(pgconn) is not None:
        pass


async def _result(pgconn: PGconn) -> PGresult | None:
    while pgconn.flush() or pgconn.is_busy():
        await _readable(pgconn)
    return pgconn.get_result()


async def _readable(pgconn: PGconn) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(pgconn.socket, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(pgconn.socket)
    pgconn.consume_input()


def _settle(ready: "asyncio.Future[None]") -> None:
    # May run again before the reader is removed.
    if not ready.done():
        ready.set_result(None)


def _failure(result: PGresult | None) -> Exception:
    if result is None:
        return errors.OperationalError("the server ended the COPY without a result")
    return errors.error_from_result(result)
