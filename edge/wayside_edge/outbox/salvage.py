"""What can be saved of an outbox file that SQLite calls damaged.

Rows that still match their hash go, with their numbers and epochs, into a new file; what was not delivered and is gone
is declared dropped, as far as its numbers can be known; new batches get a new epoch, for the damage may have taken the
memory of numbers given out. The damaged file is set aside and never changed.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wayside_edge.outbox import core, recorded
from wayside_edge.outbox.sqlite import HASHED, PENDING, SqliteRows, connect, row_hash, sync_folder
from wayside_shared.batch import MAX_SAMPLES
from wayside_shared.rejects import DropReason

MAX_GAP = 10_000
"""More numbers than an outbox ever misses: a counter that claims so is damaged itself."""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"
_COLUMNS = (
    *("seq", *HASHED, "body", "hash", "digest", "state", "settled_ns", "code"),
    *("stands_epoch", "stands_seq", "stands_before"),
)
_BOOT = ("boot_id", "after_ns", "boottime_ns", "wall_ns", "clock_state", "err_ms")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM batch NOT INDEXED"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged file.

    Args:
        aside: where it is now.
        saved: rows that were intact.
        gone: rows that are declared dropped.
    """

    aside: Path
    saved: int
    gone: Sequence[core.Head]


@dataclass(slots=True)
class _Found:
    """What can be read: intact rows by number, (accepted, acked_upto) by epoch, the highest number given out, the last
    time known, the boots seen, and up to where recordings were accepted."""

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    epochs: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    last: int = 0
    known_ns: int = 0
    boots: dict[bytes, tuple[int | None, ...]] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)


def is_damage(error: BaseException) -> bool:
    """Whether `error` says that the file, and not the disk or the moment, is at fault."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.DatabaseError) and code is not None and code & 0xFF in _DAMAGE


_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect_sound(path: Path, max_bytes: int) -> sqlite3.Connection:
    """`connect`, and a look, without reading bodies, at what the delivery of all rows rests on.

    An index that disagrees with its table is built anew.

    Raises:
        sqlite3.DatabaseError, TypeError, ValueError: as `connect`; or the file is damaged (see `is_damage`).
    """
    connection = connect(path, max_bytes)
    try:
        table = connection.execute("SELECT count(*), total(seq) FROM batch NOT INDEXED").fetchone()
        indexed = [connection.execute(sql).fetchone() for sql in _INDEXED]
        if table != tuple(sum(column) for column in zip(*indexed, strict=True)):
            connection.execute("REINDEX")
        SqliteRows(connection, 0).current()
    except BaseException:
        connection.close()
        raise
    return connection


_INDEXED = (
    "SELECT count(*), total(seq) FROM batch INDEXED BY batch_pending WHERE state = 0",
    "SELECT count(*), total(seq) FROM batch INDEXED BY batch_settled WHERE state <> 0",
)


def header_is_sound(path: Path) -> bool:
    """Whether the file begins as SQLite's do: damage there shows as any error, or as a file that cannot be written."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        return True
    fixed = header[18:20] in (b"\x01\x01", b"\x02\x02") and header[21:24] == b"\x40\x20\x20"
    # Until the first checkpoint the schema stands in the write-ahead log only, and these two are zero.
    written = header[44:48] in (bytes(4), b"\0\0\0\x04") and header[56:60] in (bytes(4), b"\0\0\0\x01")
    return header[:16] == _MAGIC and fixed and written


def salvage(path: Path, max_bytes: int) -> Salvaged:
    """Replace the damaged file at `path` by a sound one with all that is intact.

    A crash at any moment leaves the damaged file in its place, or the new one.

    Args:
        path: the damaged outbox; no connection to it is open.
        max_bytes: as for `connect`.

    Raises:
        sqlite3.Error, OSError: the disk does not take the new file.
    """
    new = path.with_suffix(".salvaged")
    _unlink(new)
    found = _read(path)
    with closing(connect(new, max_bytes)) as target:
        target.execute("BEGIN IMMEDIATE")
        gone = _fill(target, found)
        target.execute("COMMIT")
        # One file to rename, without a journal beside it.
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    aside = path.with_suffix(".damaged")
    _unlink(aside)
    os.link(path, aside)
    for suffix in ("-wal", "-shm"):
        old = Path(f"{path}{suffix}")
        if old.exists():
            old.replace(f"{aside}{suffix}")
    new.replace(path)
    sync_folder(path.parent)
    return Salvaged(aside, len(found.rows), gone)


def _fill(target: sqlite3.Connection, found: _Found) -> Sequence[core.Head]:
    rows, epochs, last = found.rows, found.epochs, found.last
    target.execute("DELETE FROM epoch")
    ids: dict[bytes, int] = {}
    for row in rows.values():
        ids.setdefault(row["epoch"], len(ids) + 1)
    for epoch, number in ids.items():
        own = [row for row in rows.values() if row["epoch"] == epoch]
        accepted, upto = epochs.get(epoch, (0, own[0]["first_seq"] - 1))
        accepted = max(accepted, *(row["before"] + row["n"] for row in own), 0)
        target.execute("INSERT INTO epoch VALUES (?, ?, ?, ?, ?)", (number, epoch, own[0]["first_seq"], accepted, upto))
    columns = ("epoch_id", *_COLUMNS)
    marks = ", ".join("?" * len(columns))
    for row in rows.values():
        values = (ids[row["epoch"]], *(row[name] for name in _COLUMNS))
        target.execute(f"INSERT INTO batch ({', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608
    highest = max(rows, default=last)
    if highest < last <= highest + MAX_GAP:
        highest = last
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'batch'")
    target.execute("INSERT INTO sqlite_sequence VALUES ('batch', ?)", (highest,))
    sizes = [(core.ROW_OVERHEAD_BYTES + len(row["body"]), row["state"] != PENDING) for row in rows.values()]
    tallies = {
        "running_ns": max((row["settled_ns"] or 0 for row in rows.values()), default=0),
        "used_bytes": sum(size for size, _ in sizes),
        "settled_bytes": sum(size for size, settled in sizes if settled),
        "known_ns": found.known_ns,
    }
    target.executemany("UPDATE tally SET value = ? WHERE name = ?", [(v, name) for name, v in tallies.items()])
    boots = [(boot_id, *values) for boot_id, values in found.boots.items()]
    target.executemany(f"INSERT INTO seen_boot ({', '.join(_BOOT)}) VALUES (?, ?, ?, ?, ?, ?)", boots)  # noqa: S608
    target.execute(recorded.SCHEMA)
    recorded.note(target, found.recorded)
    into = SqliteRows(target, 0)
    into.begin_epoch()
    gone = _missing(rows, epochs, highest)
    core.declare(into, gone, DropReason.CORRUPT)
    return gone


def _missing(
    rows: dict[int, dict[str, Any]], epochs: dict[bytes, tuple[int, int]], highest: int
) -> Sequence[core.Head]:
    """What the numbers between the intact rows stood for. What the server has of it already, it keeps as it is."""
    known = sorted(rows)
    if not known:
        return []
    gone: list[core.Head] = []
    epoch = rows[known[0]]["epoch"]
    before = rows[known[0]]["before"]
    begin = min(known[0], epochs.get(epoch, (0, known[0]))[1] + 1)
    for seq in range(max(begin, known[0] - MAX_GAP), highest + 1):
        row = rows.get(seq)
        if row is not None:
            epoch, before = row["epoch"], row["before"] + row["n"]
        elif seq > epochs.get(epoch, (0, 0))[1]:
            after = rows.get(seq + 1)
            n = after["before"] - before if after is not None and after["epoch"] == epoch else 0
            gone.append(core.Head(seq, epoch, before, min(max(n, 0), MAX_SAMPLES), 0, False))
    return gone


def _read(path: Path) -> _Found:
    found = _Found()
    for source in _sources(path):
        with closing(source):
            for row in _intact_rows(source):
                found.rows.setdefault(row["seq"], row)
            for epoch, counters in _epochs(source):
                found.epochs.setdefault(epoch, counters)
            found.last = max(found.last, _last_seq(source))
            found.known_ns = found.known_ns or _known_ns(source)
            for boot_id, values in _boots(source):
                found.boots.setdefault(boot_id, values)
            with suppress(sqlite3.Error, TypeError, AttributeError):
                found.recorded = {**recorded.upto(source), **found.recorded}
    return found


def _intact_rows(source: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    for values in _readable(source):
        row = dict(zip(_COLUMNS, values, strict=True))
        if row_hash(row["seq"], [row[name] for name in HASHED], row["body"]) == row["hash"]:
            if row["settled_ns"] is None or row["state"] not in (0, 1, 2):
                row["state"] = PENDING
            yield row


def _readable(source: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Rows from both ends, then one by one between them: a damaged page hides no more than its own."""
    seen: set[int] = set()
    ends = [0, 0]
    for end, order in enumerate(("ASC", "DESC")):
        with suppress(sqlite3.Error):
            for values in source.execute(f"{_SELECT} ORDER BY seq {order}"):
                ends[end] = values[0]
                if values[0] in seen:
                    return
                seen.add(values[0])
                yield values
            return
    low, high = ends
    for seq in range(low + 1, high if high - low < MAX_GAP else low + MAX_GAP):
        with suppress(sqlite3.Error):
            for values in source.execute(f"{_SELECT} WHERE seq = ?", (seq,)):
                if seq not in seen:
                    yield values


def _sources(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it stands; then, in case its first page is what is damaged, with a fresh one in its place."""
    yield _reading(path)
    fresh, mended = path.with_suffix(".fresh"), path.with_suffix(".mended")
    _unlink(fresh)
    connect(fresh, 1 << 20).close()
    content = bytearray(path.read_bytes())
    page = bytearray(fresh.read_bytes()[:4096])
    page[28:32] = (len(content) // len(page)).to_bytes(4, "big")
    content[: len(page)] = page
    _unlink(mended)
    mended.write_bytes(content)
    log = Path(f"{path}-wal")
    if log.exists():
        Path(f"{mended}-wal").write_bytes(log.read_bytes())
    try:
        yield _reading(mended)
    finally:
        _unlink(fresh)
        _unlink(mended)


def _epochs(source: sqlite3.Connection) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(accepted, acked_upto) of each epoch that can be read."""
    with suppress(sqlite3.Error):
        for epoch, accepted, upto in source.execute("SELECT epoch, accepted, acked_upto FROM epoch ORDER BY id"):
            if isinstance(epoch, bytes) and isinstance(accepted, int) and isinstance(upto, int):
                yield epoch, (accepted, upto)


def _boots(source: sqlite3.Connection) -> Iterator[tuple[bytes, tuple[int | None, ...]]]:
    """The boots that can be read, oldest first: without them samples of a boot without a clock have no time."""
    with suppress(sqlite3.Error):
        for boot_id, after_ns, *clock in source.execute(f"SELECT {', '.join(_BOOT)} FROM seen_boot ORDER BY id"):  # noqa: S608
            sound = isinstance(boot_id, bytes) and all(isinstance(value, int) for value in (after_ns, *clock))
            if sound or (isinstance(after_ns, int) and clock == [None] * len(clock)):
                yield boot_id, (after_ns, *clock)


def _known_ns(source: sqlite3.Connection) -> int:
    with suppress(sqlite3.Error, TypeError):
        (known,) = source.execute("SELECT value FROM tally WHERE name = 'known_ns'").fetchone()
        return known if isinstance(known, int) else 0
    return 0


def _last_seq(source: sqlite3.Connection) -> int:
    """The highest number given out, or 0 when that cannot be read."""
    with suppress(sqlite3.Error, TypeError):
        (last,) = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return last if isinstance(last, int) else 0
    return 0


def _reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    return connection


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
