"""The outbox as the agent uses it: one thread, one transaction a step, one agent a file."""

import asyncio
import fcntl
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from wayside_edge.errors import ConfigError, OutboxError
from wayside_edge.outbox import account, core, recorded, salvage, soundness
from wayside_edge.outbox.settings import MIB, OutboxSettings
from wayside_edge.outbox.sqlite import SqliteRows, connect
from wayside_edge.ports import (
    Appended,
    Clock,
    ClosedBatch,
    EpochState,
    Loaded,
    OutboxAccount,
    Settled,
    Status,
    StoredBatch,
)
from wayside_shared.clock import NS_PER_S, ClockMap
from wayside_shared.ranges import Ranges
from wayside_shared.rejects import DropReason
from wayside_shared.session import Ack, ServerHello

log = logging.getLogger(__name__)

T = TypeVar("T")

_DISK_FULL = "the disk is full; free some space, collection goes on by itself"
_MOVE_AWAY = "move the file and the -wal beside it away, a new one is made"
_GROWTH = 1.25
"""SQLite's own bound stands above the quota: the index, free pages and the drops' tombstones need room."""
_ALL = 1 << 62
_MARGIN = 64 * 1024
"""Free space inside the file under which an append may make it grow."""


class DurableOutbox:
    """A SQLite outbox, used by exactly one agent at a time.

    Building it does nothing; `open` takes the lock. Every method runs one transaction in the outbox's own thread. A
    failed disk closes the connection: the next call opens it anew, and rows are verified by their hash as they are
    read, because after a failed fsync nothing else can be believed.

    Args:
        settings: `[outbox]`.
        clock: boot time, for the age of delivered rows.
        on_drop: told of every declared drop: numbers, samples, reason.
        on_salvage: told when a damaged file was replaced.
        on_mend: told when something beside the batches was damaged and put right.
    """

    def __init__(
        self,
        settings: OutboxSettings,
        clock: Clock,
        on_drop: Callable[[Sequence[int], int, DropReason], None] = lambda *_: None,
        on_salvage: Callable[[salvage.Salvaged], None] = lambda _: None,
        on_mend: Callable[[soundness.Mended], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_drop = on_drop
        self._on_salvage = on_salvage
        self._on_mend = on_mend
        self._limits = core.Limits(
            quota_bytes=settings.quota_mb * MIB,
            tail_bytes=int(settings.quota_mb * MIB * settings.tail_share),
            tail_ns=int(settings.tail_hours * 3600 * NS_PER_S),
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._db: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._damaged = False
        self._numbered_anew = False
        self._ran_before_ns = 0
        self._opened_ns = 0

    async def open(self) -> Status:
        """Take the file for this agent and say what it holds.

        Raises:
            ConfigError: another agent has it.
            OutboxError: the disk does not give it.
        """
        return await self._run(self._open)

    async def append(self, batch: ClosedBatch) -> Appended:
        """Make `batch` durable; see `ports.Outbox`.

        Raises:
            OutboxError: it was not accepted.
        """
        return await self._run(lambda: self._append(batch))

    async def settle(self, ack: Ack) -> Settled:
        """Take in an acknowledgement, then trim the tail.

        Raises:
            OutboxError: the disk refuses; the server will confirm again when asked again.
        """
        return await self._run(lambda: self._settle(ack))

    async def rewind(self, hello: ServerHello) -> Sequence[int]:
        """Go back with the server; returns the numbers that are pending again."""
        return await self._run(lambda: self._in_transaction(lambda rows: core.rewind(rows, hello)))

    async def streams(self) -> Sequence[EpochState]:
        """Every stream of which there are batches; the current one is the last."""
        return await self._run(lambda: self._in_transaction(lambda rows: rows.kept_epochs()))

    async def fork(self) -> None:
        """Start a new epoch."""
        await self._run(lambda: self._in_transaction(lambda rows: rows.begin_epoch()))

    async def load(self, seqs: Iterable[int]) -> Loaded:
        """The batches `seqs` as far as they are still there, each verified; damaged ones are declared dropped."""
        wanted = list(seqs)
        return await self._run(lambda: self._while_draining(lambda rows: self._load(rows, wanted)))

    async def status(self) -> Status:
        """The outbox at a glance."""
        return await self._run(lambda: self._in_transaction(self._status))

    async def account(self) -> OutboxAccount:
        """What it holds, in sums; cheap enough to be asked each second.

        Raises:
            OutboxError: the disk does not say now.
        """
        return await self._run(lambda: self._in_transaction(lambda rows: account.of(self._connection(), self._clock)))

    async def note_clock(self, boot_id: bytes, clock: ClockMap) -> None:
        """Take in the synced `clock` of the running boot, for batches that were stamped before the time was known."""
        await self._run(lambda: self._in_transaction(lambda rows: core.note_clock(rows, boot_id, clock)))

    def recorded(self, sensor: str) -> Mapping[str, int]:
        """Up to which recorded time each reading of `sensor` was accepted, in UTC nanoseconds; for other threads.

        Raises:
            OutboxError: the disk does not say now.
        """
        with self._explaining():
            return self._thread.submit(
                lambda: self._in_transaction(lambda _: recorded.upto(self._connection(), sensor))
            ).result()

    async def close(self) -> None:
        """Let the file go."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, step: Callable[[], T]) -> T:
        with self._explaining():
            # Shielded: a cancelled caller must not leave a half-known outcome; the step always ends by itself.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, step))

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutboxError(self._explain(error)) from error
        except OSError as error:
            raise OutboxError(f"outbox {self._settings.path}: {error.strerror or error}") from error

    def _open(self) -> Status:
        try:
            try:
                status = self._in_transaction(self._status)
            except sqlite3.DatabaseError:
                if not self._damaged:
                    raise
                status = self._in_transaction(self._status)
            self._fill_ballast()
        except BaseException:
            self._close()
            raise
        return status

    def _append(self, batch: ClosedBatch) -> Appended:
        reason = DropReason.DISK_FLOOR if self._at_floor() else None

        def step(rows: SqliteRows) -> Appended:
            grows = rows.free_bytes() < len(batch.body) + _MARGIN
            if grows:
                self._spare_ballast()
            recorded.note(self._connection(), batch.recorded)
            return core.append(rows, batch, self._limits, reason=reason if grows else None)

        appended = self._in_transaction(step)
        log.debug("accepted %d samples, %d bytes", batch.n, len(batch.body))
        if appended.dropped:
            self._on_drop(appended.dropped, appended.dropped_samples, reason or DropReason.QUOTA)
        return appended

    def _settle(self, ack: Ack) -> Settled:
        settled = self._while_draining(lambda rows: core.settle(rows, ack))
        while self._in_transaction(lambda rows: core.trim(rows, self._limits, self._running_ns())):
            self._connection().execute("PRAGMA incremental_vacuum(64)").fetchall()
        self._fill_ballast()
        return settled

    def _while_draining(self, step: Callable[[SqliteRows], T]) -> T:
        """On a full disk even marking a row fails, so it could never drain: the ballast makes the room."""
        try:
            return self._in_transaction(step)
        except (sqlite3.OperationalError, OSError):
            if not self._release_ballast():
                raise
            return self._in_transaction(step)

    def _load(self, rows: SqliteRows, seqs: Iterable[int]) -> Loaded:
        loaded: list[StoredBatch] = []
        corrupt: list[core.Head] = []
        for seq in seqs:
            try:
                row = rows.get(seq)
            except core.CorruptRowError as error:
                corrupt.append(error.head)
                continue
            if row is not None:
                loaded.append(core.timed(rows, row))
        declared: list[int] = []
        if self._numbered_anew:
            # The file was replaced under an uplink that knows the old one's numbers only.
            declared.extend(head.seq for head in rows.pending(0, _ALL))
            self._numbered_anew = False
        if corrupt:
            before = rows.next_seq()
            rows.remove([head.seq for head in corrupt])
            core.declare(rows, corrupt, DropReason.CORRUPT)
            declared.extend(range(before, rows.next_seq()))
            self._on_drop([head.seq for head in corrupt], sum(head.n for head in corrupt), DropReason.CORRUPT)
        current, counters = core.counters(rows)
        return Loaded(loaded, current, counters, [head.seq for head in corrupt], declared)

    def _status(self, rows: SqliteRows) -> Status:
        current, counters = core.counters(rows)
        pending = Ranges()
        at = 0
        while heads := rows.pending(at, 1000):
            for head in heads:
                pending.add(head.seq)
            at = heads[-1].seq + 1
        return Status(current, counters, rows.used_bytes(), pending, rows.known_ns())

    def _in_transaction(self, step: Callable[[SqliteRows], T]) -> T:
        db = self._connection()
        rows = SqliteRows(db, self._running_ns())
        with self._closing_on_failure():
            db.execute("BEGIN IMMEDIATE")
            try:
                before = db.total_changes
                result = step(rows)
                # A step that only reads must not write: it has to work on a full disk, and costs no flush.
                if db.total_changes != before:
                    rows.set_running(self._running_ns())
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        return result

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._damaged = self._damaged or soundness.is_damage(error)
            if self._db is not None:
                self._db.close()
                self._db = None
            raise
        except soundness.MISREAD as error:
            db = self._db
            if db is None or not soundness.breaks_its_schema(db):
                raise
            self._damaged = True
            db.close()
            self._db = None
            raise soundness.MisreadError from error

    def _connection(self) -> sqlite3.Connection:
        if self._lock is None:
            self._settings.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._settings.path)
        if self._db is None:
            self._db = self._connect()
            self._db.execute(recorded.SCHEMA)
            self._ran_before_ns = SqliteRows(self._db, 0).tally("running_ns")
            self._opened_ns = self._clock.boottime_ns()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._connect_sound()
        except sqlite3.OperationalError as error:
            # SQLite needs a little space to open a file at all; what opens for draining takes no new samples.
            if soundness.is_damage(error) or not self._release_ballast():
                raise
            return self._connect_sound()

    def _connect_sound(self) -> sqlite3.Connection:
        """A connection to a file that has been looked over; a damaged one is replaced by what is intact in it."""
        path, max_bytes = self._settings.path, int(self._limits.quota_bytes * _GROWTH)
        salvage.finish(path)
        if not self._damaged:
            try:
                connection, mended = soundness.connect_sound(path, max_bytes)
            except (sqlite3.DatabaseError, *soundness.MISREAD) as error:
                broken = soundness.is_damage(error) or not soundness.header_is_sound(path)
                if isinstance(error, sqlite3.DatabaseError) and not broken:
                    raise
            else:
                if mended != soundness.Mended(0, 0, 0):
                    self._on_mend(mended)
                return connection
        try:
            salvaged = salvage.salvage(path, max_bytes)
        except soundness.MISREAD as error:
            raise OutboxError(f"outbox {path} is damaged; {_MOVE_AWAY}") from error
        self._damaged = False
        self._numbered_anew = self._opened_ns > 0
        self._on_salvage(salvaged)
        if salvaged.gone:
            gone = salvaged.gone
            self._on_drop([head.seq for head in gone], sum(head.n for head in gone), DropReason.CORRUPT)
        return connect(path, max_bytes)

    def _running_ns(self) -> int:
        return self._ran_before_ns + self._clock.boottime_ns() - self._opened_ns

    def _at_floor(self) -> bool:
        return shutil.disk_usage(self._settings.path.parent).free < self._settings.free_disk_floor_mb * MIB

    @property
    def _ballast(self) -> Path:
        return self._settings.path.with_suffix(".ballast")

    def _fill_ballast(self) -> None:
        size = self._settings.ballast_mb * MIB
        free = shutil.disk_usage(self._settings.path.parent).free
        if self._ballast.exists() or free < size + self._settings.free_disk_floor_mb * MIB:
            return
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size) if size else None

    def _spare_ballast(self) -> None:
        """The room that the ballast made is for draining: new samples must not use it up."""
        free = shutil.disk_usage(self._settings.path.parent).free
        if free < self._settings.ballast_mb * MIB and not self._ballast.exists():
            raise OutboxError(f"outbox {self._settings.path}: {_DISK_FULL}")

    def _release_ballast(self) -> bool:
        held = self._ballast.exists() and self._ballast.stat().st_size > 0
        self._ballast.unlink(missing_ok=True)
        return held

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _explain(self, error: sqlite3.Error) -> str:
        text = str(error)
        advice = {
            "database or disk is full": _DISK_FULL,
            "attempt to write a readonly database": "the file system is read-only; remount it",
            "unable to open database file": "the folder is missing or not writable for this user",
            "database disk image is malformed": "the file is damaged",
            "file is not a database": f"this is no outbox; {_MOVE_AWAY}",
        }.get(text, text)
        return f"outbox {self._settings.path}: {advice}"


def _lock(path: Path) -> int:
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConfigError(
            f"outbox {path} is in use by another agent; stop that one, or give this one its own"
        ) from error
    return handle
