"""Room for samples: one partition a week, made ahead and on demand. A hypertable makes its own chunks."""

from datetime import UTC, datetime, timedelta

from psycopg.pq import TransactionStatus

from wayside_server.storage.database import Connection
from wayside_server.storage.statements import load_statements

_SQL = load_statements("partitions")

WEEK_US = 7 * 86_400 * 1_000_000
MONDAY_US = 4 * 86_400 * 1_000_000
"""1970-01-05, the first Monday: weeks count from here."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def week_start_us(us: int) -> int:
    """The Monday, 00:00 UTC, of the week that holds `us`, as UTC microseconds."""
    return us - (us - MONDAY_US) % WEEK_US


async def ensure_partitions(connection: Connection, first_us: int, last_us: int) -> None:
    """Makes the weeks that hold `first_us` to `last_us`, both UTC microseconds; what exists stays as it is.

    Only weeks from 15 months back to 2 weeks ahead are made; other times go to the default partition, as does a week
    whose place is already taken there or whose lock cannot be had within 2 seconds. Safe in any number of processes.
    Must be called outside a transaction: each call commits by itself.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise RuntimeError("ensure_partitions was called inside a transaction; it would hold its locks")
    span = {"first": _EPOCH + timedelta(microseconds=first_us), "last": _EPOCH + timedelta(microseconds=last_us)}
    await connection.execute(_SQL["ensure"], span)


async def ensure_near_partitions(connection: Connection, now_us: int) -> None:
    """Makes this week's partition and the next two."""
    await ensure_partitions(connection, now_us, now_us + 2 * WEEK_US)


class Partitions:
    """Remembers which weeks were ensured, so that ingest asks the database once a week and not once a batch."""

    def __init__(self) -> None:
        self._known: set[int] = set()

    async def ensure(self, connection: Connection, first_us: int, last_us: int) -> None:
        """As `ensure_partitions`, without a round trip when every week of the span is known."""
        weeks = range((first_us - MONDAY_US) // WEEK_US, (last_us - MONDAY_US) // WEEK_US + 1)
        if len(weeks) <= len(self._known) and self._known.issuperset(weeks):
            return
        await ensure_partitions(connection, first_us, last_us)
        self._known.update(weeks)
