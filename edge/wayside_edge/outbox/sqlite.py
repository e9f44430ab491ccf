"""The outbox's rows in SQLite: WAL, synchronous=FULL, a hash on each row.

Every connection reads its pragmas back, because `synchronous` belongs to the connection and not to the file. The
hash is checked on each read: SQLite's own integrity check does not see a flipped bit inside a value.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wayside_edge.errors import OutboxError
from wayside_edge.outbox.bracket import Boot
from wayside_edge.outbox.core import ROW_OVERHEAD_BYTES, CorruptRowError, Head
from wayside_edge.outbox.schema import (
    DELIVERED,
    HASHED,
    PENDING,
    QUARANTINED,
    SCHEMA,
    SIZE,
    TALLIES,
    body_digest,
    row_hash,
    seal,
)
from wayside_edge.ports import ClosedBatch, EpochState, StoredBatch
from wayside_shared.batch import MAX_SAMPLES
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.identifiers import EPOCH_BYTES
from wayside_shared.ranges import Ranges

KEPT_BOOTS = 10_000
"""Ten starts a day for three years take about a megabyte; a batch older than that goes with what its board believed."""


def connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    """A connection to the outbox at `path`, made if it is missing, with its durability proved.

    Args:
        path: the file; its folder must exist.
        max_bytes: size over which SQLite itself refuses to grow the file.

    Raises:
        OutboxError: SQLite did not take a pragma that exactly-once rests on.
        sqlite3.Error: the file cannot be opened.
    """
    fresh = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    # A text that damage has made of something else must not stop the reading of its row.
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=256")
        connection.execute("PRAGMA cache_size=-1024")
        page_size = int(_pragma(connection, "page_size"))
        connection.execute(f"PRAGMA max_page_count={max(max_bytes // page_size, 64)}")
        _assert_durable(connection)
        connection.executescript(SCHEMA)
        for name in TALLIES:
            connection.execute("INSERT OR IGNORE INTO tally VALUES (?, 0)", (name,))
        if connection.execute("SELECT 1 FROM epoch").fetchone() is None:
            SqliteRows(connection, 0).begin_epoch()
    except BaseException:
        connection.close()
        raise
    if fresh:
        sync_folder(path.parent)
    return connection


class SqliteRows:
    """`outbox.core.Rows` over one connection, inside the transaction that the caller holds.

    Args:
        connection: as `connect` gives it.
        running_ns: the agent's accumulated running time now, for the age of delivered rows.
        new_epoch: makes the bytes of a new epoch; random ones, but for a test that compares.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        running_ns: int,
        new_epoch: Callable[[], bytes] = lambda: os.urandom(EPOCH_BYTES),
    ) -> None:
        self._db = connection
        self._running_ns = running_ns
        self._new_epoch = new_epoch

    def current(self) -> EpochState:
        row = self._db.execute(
            "SELECT epoch, first_seq, accepted, acked_upto FROM epoch ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return EpochState(*row)

    def begin_epoch(self) -> None:
        seq = self.next_seq()
        fields = (self._new_epoch(), seq, 0, seq - 1)
        self._db.execute(
            "INSERT INTO epoch (epoch, first_seq, accepted, acked_upto, seal) VALUES (?, ?, ?, ?, ?)",
            (*fields, seal(*fields)),
        )

    def insert(self, batch: ClosedBatch, *, stands_for: Head | None = None, tombstone: bool = False) -> int:
        epoch_id, epoch, first_seq, before, upto = self._db.execute(
            "SELECT id, epoch, first_seq, accepted, acked_upto FROM epoch ORDER BY id DESC LIMIT 1"
        ).fetchone()
        seq = self.next_seq()
        clock = batch.clock
        stamps = (clock.boottime_ns, clock.wall_ns, int(clock.state), clock.err_ms)
        stands = (None,) * 3 if stands_for is None else (stands_for.epoch, stands_for.seq, stands_for.before)
        hashed = (epoch, first_seq, before, batch.n, int(tombstone), batch.boot_id, *stamps, *stands)
        digest = body_digest(batch.body)
        self._db.execute(
            f"INSERT INTO batch (seq, epoch_id, {', '.join(HASHED)}, body, digest, hash)"  # noqa: S608
            f" VALUES (?, ?, {'?, ' * len(HASHED)}?, ?, ?)",
            (seq, epoch_id, *hashed, batch.body, digest, row_hash(seq, hashed, batch.body)),
        )
        accepted = before + batch.n
        self._db.execute(
            "UPDATE epoch SET accepted = ?, seal = ? WHERE id = ?",
            (accepted, seal(epoch, first_seq, accepted, upto), epoch_id),
        )
        self._count("used_bytes", len(batch.body) + ROW_OVERHEAD_BYTES)
        return seq

    def get(self, seq: int) -> StoredBatch | None:
        found = self._db.execute(f"SELECT {', '.join(HASHED)}, body, hash FROM batch WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
        if found is None:
            return None
        *fields, body, digest = found
        epoch, first_seq, before, n, tombstone, boot_id, boottime_ns, wall_ns, state, err_ms, *_ = fields
        expected = row_hash(seq, fields, body)
        if expected is None or expected != digest:
            named = epoch if isinstance(epoch, bytes) and len(epoch) == EPOCH_BYTES else self.current().epoch
            raise CorruptRowError(self._damaged(seq, named, bool(tombstone)))
        clock = ClockMap(boottime_ns, wall_ns, ClockState(state), err_ms)
        return StoredBatch(seq, epoch, first_seq, before, n, boot_id, clock, body)

    def next_seq(self) -> int:
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return 1 if found is None else int(found[0]) + 1

    def pending(self, at_least: int, limit: int) -> Sequence[Head]:
        found = self._db.execute(
            f"SELECT seq, epoch, before, n, {SIZE}, tombstone FROM batch"  # noqa: S608
            " WHERE state = 0 AND seq >= ? ORDER BY seq LIMIT ?",
            (at_least, limit),
        )
        return [Head(seq, epoch, before, n, size, bool(tombstone)) for seq, epoch, before, n, size, tombstone in found]

    def first_pending(self, epoch: bytes) -> tuple[int, int] | None:
        own: tuple[int, int] | None = self._db.execute(
            "SELECT seq, before FROM batch WHERE state = 0 AND epoch_id = (SELECT id FROM epoch WHERE epoch = ?)"
            " ORDER BY seq LIMIT 1",
            (epoch,),
        ).fetchone()
        declared: tuple[int, int] | None = self._db.execute(
            "SELECT stands_seq, stands_before FROM batch WHERE state = 0 AND tombstone = 1 AND stands_epoch = ?"
            " ORDER BY stands_seq LIMIT 1",
            (epoch,),
        ).fetchone()
        return min((found for found in (own, declared) if found is not None), default=None)

    def note_upto(self, epoch: bytes, upto: int) -> None:
        found = self._db.execute("SELECT first_seq, accepted FROM epoch WHERE epoch = ?", (epoch,)).fetchone()
        if found is not None:
            self._db.execute(
                "UPDATE epoch SET acked_upto = ?, seal = ? WHERE epoch = ?", (upto, seal(epoch, *found, upto), epoch)
            )

    def settle(self, epoch: bytes, numbers: Iterable[tuple[int, bytes]]) -> Sequence[int]:
        delivered: list[int] = []
        gained = 0
        for seq, digest in numbers:
            found = self._db.execute(
                f"SELECT state, digest, {SIZE} FROM batch WHERE seq = ? AND epoch = ?",  # noqa: S608
                (seq, epoch),
            ).fetchone()
            if found is None or found[0] == QUARANTINED or (digest and digest != found[1]):
                continue
            if found[0] == PENDING:
                self._db.execute(
                    f"UPDATE batch SET state = {DELIVERED}, settled_ns = ?, seal = ? WHERE seq = ?",  # noqa: S608
                    (self._running_ns, seal(seq, DELIVERED, self._running_ns, None), seq),
                )
                gained += found[2]
            delivered.append(seq)
        self._count("settled_bytes", gained)
        return delivered

    def unsettle(self, epoch: bytes, above: int, but: Ranges) -> Sequence[int]:
        found = self._db.execute(
            f"SELECT seq, {SIZE} FROM batch WHERE state = {DELIVERED} AND seq > ?"  # noqa: S608
            " AND epoch_id = (SELECT id FROM epoch WHERE epoch = ?)",
            (above, epoch),
        ).fetchall()
        again = [(seq, size) for seq, size in found if seq not in but]
        self._db.executemany(f"UPDATE batch SET state = {PENDING} WHERE seq = ?", [(seq,) for seq, _ in again])  # noqa: S608
        self._count("settled_bytes", -sum(size for _, size in again))
        return [seq for seq, _ in again]

    def kept_epochs(self) -> Sequence[EpochState]:
        found = self._db.execute(
            "SELECT epoch, first_seq, accepted, acked_upto FROM epoch e WHERE id = (SELECT max(id) FROM epoch)"
            " OR EXISTS (SELECT 1 FROM batch b WHERE b.epoch_id = e.id) ORDER BY id"
        )
        return [EpochState(*row) for row in found]

    def quarantine(self, seq: int, code: str) -> None:
        found = self._db.execute(
            f"UPDATE batch SET state = {QUARANTINED}, settled_ns = ?, code = ?, seal = ?"  # noqa: S608
            f" WHERE seq = ? AND state = 0 RETURNING {SIZE}",
            (self._running_ns, code, seal(seq, QUARANTINED, self._running_ns, code), seq),
        ).fetchall()
        self._count("settled_bytes", sum(size for (size,) in found))

    def remove(self, seqs: Iterable[int]) -> None:
        freed = settled = 0
        for seq in seqs:
            for size, state in self._db.execute(f"DELETE FROM batch WHERE seq = ? RETURNING {SIZE}, state", (seq,)):  # noqa: S608
                freed += size
                settled += size if state != PENDING else 0
        self._count("used_bytes", -freed)
        self._count("settled_bytes", -settled)

    def delivered(self, limit: int) -> Sequence[tuple[int, int, int]]:
        return self._db.execute(
            f"SELECT seq, {SIZE}, settled_ns FROM batch WHERE state <> 0 ORDER BY seq LIMIT ?",  # noqa: S608
            (limit,),
        ).fetchall()

    def used_bytes(self) -> int:
        return self.tally("used_bytes")

    def delivered_bytes(self) -> int:
        return self.tally("settled_bytes")

    def tally(self, name: str) -> int:
        """A running sum, `running_ns`, `used_bytes` or `settled_bytes`; or `known_ns`."""
        return int(self._db.execute("SELECT value FROM tally WHERE name = ?", (name,)).fetchone()[0])

    def set_running(self, running_ns: int) -> None:
        """Remember the accumulated running time."""
        self._db.execute("UPDATE tally SET value = ? WHERE name = 'running_ns'", (running_ns,))

    def free_bytes(self) -> int:
        """Bytes inside the file that rows can take before it grows."""
        return int(_pragma(self._db, "freelist_count")) * int(_pragma(self._db, "page_size"))

    def known_ns(self) -> int:
        return self.tally("known_ns")

    def note_known(self, wall_ns: int) -> None:
        self._db.execute("UPDATE tally SET value = ? WHERE name = 'known_ns'", (wall_ns,))

    def see_boot(self, boot_id: bytes) -> None:
        after_ns = self.known_ns()
        seen = self._db.execute(
            "INSERT INTO seen_boot (boot_id, after_ns, seal) VALUES (?, ?, ?) ON CONFLICT (boot_id) DO NOTHING",
            (boot_id, after_ns, seal(boot_id, after_ns, None, None, None, None)),
        )
        if seen.rowcount:
            self._db.execute("DELETE FROM seen_boot WHERE id <= ?", (int(seen.lastrowid or 0) - KEPT_BOOTS,))

    def note_boot(self, boot_id: bytes, clock: ClockMap) -> None:
        self.see_boot(boot_id)
        (after_ns,) = self._db.execute("SELECT after_ns FROM seen_boot WHERE boot_id = ?", (boot_id,)).fetchone()
        known = (clock.boottime_ns, clock.wall_ns, int(clock.state), clock.err_ms)
        self._db.execute(
            "UPDATE seen_boot SET boottime_ns = ?, wall_ns = ?, clock_state = ?, err_ms = ?, seal = ?"
            " WHERE boot_id = ? AND clock_state IS NOT ?",
            (*known, seal(boot_id, after_ns, *known), boot_id, int(ClockState.SYNCED)),
        )

    def boot_clock(self, boot_id: bytes) -> ClockMap | None:
        """As `Rows` says; None too when it no longer matches its hash."""
        found = self._db.execute(
            "SELECT boottime_ns, wall_ns, clock_state, err_ms, after_ns, seal FROM seen_boot"
            " WHERE boot_id = ? AND clock_state IS NOT NULL",
            (boot_id,),
        ).fetchone()
        if found is None or seal(boot_id, found[4], *found[:4]) != found[5]:
            return None
        return ClockMap(found[0], found[1], ClockState(found[2]), found[3])

    def boots(self) -> Sequence[Boot]:
        # The bare columns come from the row that has the maximum (SQLite, "Bare columns in an aggregate query").
        found = self._db.execute(
            "SELECT s.boot_id, s.after_ns, coalesce(p.last_ns, 0),"
            " coalesce(s.boottime_ns, p.last_ns, 0), coalesce(s.wall_ns, p.wall_ns, 0),"
            " coalesce(s.clock_state, ?), coalesce(s.err_ms, 0)"
            " FROM seen_boot s LEFT JOIN (SELECT boot_id, max(boottime_ns) AS last_ns, wall_ns FROM batch"
            " WHERE state = 0 AND boottime_ns > 0 GROUP BY boot_id) p USING (boot_id) ORDER BY s.id",
            (int(ClockState.UNSYNCED),),
        )
        return [
            Boot(boot_id, after_ns, last_ns, ClockMap(boottime_ns, wall_ns, ClockState(state), err_ms))
            for boot_id, after_ns, last_ns, boottime_ns, wall_ns, state, err_ms in found
        ]

    def _count(self, name: str, by: int) -> None:
        if by:
            self._db.execute("UPDATE tally SET value = value + ? WHERE name = ?", (by, name))

    def _damaged(self, seq: int, epoch: bytes, tombstone: bool) -> Head:
        """What a damaged row must have held: the next row of its epoch counted the samples before its own."""
        found = self._db.execute(
            "SELECT CAST(b.before AS INTEGER), CAST(coalesce((SELECT before FROM batch WHERE seq > b.seq"
            " AND epoch_id = b.epoch_id ORDER BY seq LIMIT 1), e.accepted) AS INTEGER)"
            " FROM batch b JOIN epoch e ON e.id = b.epoch_id WHERE b.seq = ?",
            (seq,),
        ).fetchone()
        before, after = int(found[0] or 0), int(found[1] or 0)
        return Head(seq, epoch, before, min(max(after - before, 0), MAX_SAMPLES), 0, tombstone)


def _pragma(connection: sqlite3.Connection, name: str) -> str | int:
    value: str | int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _assert_durable(connection: sqlite3.Connection) -> None:
    journal, synchronous = _pragma(connection, "journal_mode"), _pragma(connection, "synchronous")
    if journal != "wal" or synchronous != 2:
        raise OutboxError(
            f"SQLite runs with journal_mode={journal}, synchronous={synchronous} instead of wal and 2 (FULL);"
            " put the outbox on a local file system"
        )


def sync_folder(folder: Path) -> None:
    """A new file survives a power cut only once its folder is on the disk too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
