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
from wayside_edge.outbox.schema import HASHED, MAX_SEQ, PENDING, body_digest, row_hash, seal
from wayside_edge.outbox.soundness import MISREAD
from wayside_edge.outbox.sqlite import SqliteRows, connect, sync_folder
from wayside_edge.outbox.wal import PAGE_BYTES, read_log, rolled_forward
from wayside_shared.batch import MAX_SAMPLES
from wayside_shared.rejects import DropReason

MAX_GAP = 10_000
"""More numbers than an outbox ever misses: a counter that claims so is damaged itself."""
_UNREADABLE = (sqlite3.Error, *MISREAD)
"""A damaged schema is an error of Python's: the message that SQLite quotes it in is no text any more."""
_COLUMNS = ("seq", *HASHED, "body", "hash", "digest", "state", "settled_ns", "code", "seal")
_BOOT = ("boot_id", "after_ns", "boottime_ns", "wall_ns", "clock_state", "err_ms", "seal")
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
    boots: dict[bytes, tuple[Any, ...]] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)


def salvage(path: Path, max_bytes: int) -> Salvaged:
    """Replace the damaged file at `path` by a sound one with all that is intact.

    A crash at any moment leaves the damaged file in its place, or the new one.

    Args:
        path: the damaged outbox; no connection to it is open.
        max_bytes: as for `connect`.

    Raises:
        sqlite3.Error, OSError: the disk does not take the new file.
    """
    new = path.with_suffix(".salvaging")
    _unlink(new)
    path.touch()  # There may be a log alone.
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
    with suppress(FileNotFoundError):
        os.link(f"{path}-wal", f"{aside}-wal")
    sync_folder(path.parent)
    new.replace(_done(path))
    finish(path)
    return Salvaged(aside, len(found.rows), gone)


def finish(path: Path) -> None:
    """Put the new file in the place of the damaged one, if there is one; a crash may have come between.

    The log of the damaged file must not stand beside the new one, nor the damaged one without it: the new file has
    its name from the moment on from which only these steps are left.
    """
    new = _done(path)
    if new.exists():
        sync_folder(path.parent)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        sync_folder(path.parent)
        new.replace(path)
        sync_folder(path.parent)


def _done(path: Path) -> Path:
    return path.with_suffix(".salvaged")


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
        fields = (epoch, own[0]["first_seq"], accepted, upto)
        target.execute("INSERT INTO epoch VALUES (?, ?, ?, ?, ?, ?)", (number, *fields, seal(*fields)))
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
    target.executemany(f"INSERT INTO seen_boot ({', '.join(_BOOT)}) VALUES (?, ?, ?, ?, ?, ?, ?)", boots)  # noqa: S608
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
    epoch, before = rows[known[0]]["epoch"], rows[known[0]]["before"]
    begin = max(min(known[0], epochs.get(epoch, (0, known[0]))[1] + 1), known[0] - MAX_GAP)
    for seq in [*known, highest + 1]:
        row = rows.get(seq)
        after = epochs.get(epoch, (before, 0))[0] if row is None or row["epoch"] != epoch else row["before"]
        first = max(begin, epochs.get(epoch, (0, 0))[1] + 1)
        gone += _run(epoch, range(first, seq), before, after - before)
        begin = seq + 1
        if row is not None:
            epoch, before = row["epoch"], row["before"] + row["n"]
    return gone


def _run(epoch: bytes, numbers: range, before: int, samples: int) -> Iterator[core.Head]:
    """Rows that are gone one after the other: what they held together is known, and is dealt out evenly."""
    for place, seq in enumerate(numbers):
        share = min(max(samples, 0) // (len(numbers) - place), MAX_SAMPLES)
        yield core.Head(seq, epoch, before, share, 0, False)
        before, samples = before + share, samples - share


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
            for series, upto_ns in _recorded(source):
                found.recorded.setdefault(series, upto_ns)
    return found


def _intact_rows(source: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    for values in _readable(source):
        row = dict(zip(_COLUMNS, values, strict=True))
        expected = row_hash(row["seq"], [row[name] for name in HASHED], row["body"])
        # A damaged page can give a row of nothing but NULL, whose hash is none too.
        if expected is not None and expected == row["hash"]:
            row["digest"] = body_digest(row["body"])
            if seal(row["seq"], row["state"], row["settled_ns"], row["code"]) != row["seal"]:
                row.update(state=PENDING, settled_ns=None, code=None, seal=None)
            yield row


def _readable(source: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Rows from both ends, then one by one between them: a damaged page hides no more than its own."""
    seen: set[int] = set()
    ends = [0, 0]
    for end, order in enumerate(("ASC", "DESC")):
        with suppress(*_UNREADABLE):
            for values in source.execute(f"{_SELECT} ORDER BY seq {order}"):
                ends[end] = values[0]
                if values[0] in seen:
                    return
                seen.add(values[0])
                yield values
            return
    low, high = ends[0], ends[1] or _last_seq(source) + 1
    for seq in range(low + 1, high if low < high < low + MAX_GAP else low + MAX_GAP):
        with suppress(*_UNREADABLE):
            for values in source.execute(f"{_SELECT} WHERE seq = ?", (seq,)):
                if seq not in seen:
                    yield values


def _sources(path: Path) -> Iterator[sqlite3.Connection]:
    """Views of the file, the one that knows most first; rows that only a later one has are taken from there.

    With all of its log that is intact, where SQLite would stop at the first frame that is not; also with what of it
    cannot be checked; as it stands; and, in case its first page is what is damaged or missing, each with a fresh one
    in its place.
    """
    content, log = path.read_bytes(), Path(f"{path}-wal")
    rolled = [rolled_forward(path), rolled_forward(path, unchecked=True)] if read_log(path).frames else []
    for image in rolled:
        yield from _view(path.with_suffix(".rolled"), image)
    if content:
        # Of an empty file SQLite deletes the log.
        yield _reading(path)
    first = _first_page(path)
    for image in rolled:
        yield from _view(path.with_suffix(".mended"), _begun_by(first, image))
    yield from _view(path.with_suffix(".mended"), _begun_by(first, content), log.read_bytes() if log.exists() else b"")


def _first_page(path: Path) -> bytes:
    fresh = path.with_suffix(".fresh")
    _unlink(fresh)
    connect(fresh, 1 << 20).close()
    page = fresh.read_bytes()[:PAGE_BYTES]
    _unlink(fresh)
    return page


def _begun_by(first: bytes, image: bytes) -> bytes:
    pages = max(len(image) // PAGE_BYTES, 1)
    return first[:28] + pages.to_bytes(4, "big") + first[32:] + image[PAGE_BYTES:]


def _view(path: Path, content: bytes | bytearray, log: bytes = b"") -> Iterator[sqlite3.Connection]:
    """A database of `content` and `log` at `path`, as long as it is read."""
    _unlink(path)
    path.write_bytes(content)
    if log:
        Path(f"{path}-wal").write_bytes(log)
    try:
        yield _reading(path)
    finally:
        _unlink(path)


def _epochs(source: sqlite3.Connection) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(accepted, acked_upto) of each epoch that can be read and matches its hash."""
    with suppress(*_UNREADABLE):
        for row in source.execute("SELECT epoch, first_seq, accepted, acked_upto, seal FROM epoch ORDER BY id"):
            if seal(*row[:4]) == row[4]:
                yield row[0], (row[2], row[3])


def _boots(source: sqlite3.Connection) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """The boots that can be read and match their hash, oldest first: without them samples of a boot without a clock
    have no time."""
    with suppress(*_UNREADABLE):
        for row in source.execute(f"SELECT {', '.join(_BOOT)} FROM seen_boot ORDER BY id"):  # noqa: S608
            if seal(*row[:-1]) == row[-1]:
                yield row[0], row[1:]


def _recorded(source: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """What can be read of the recordings accepted, as far as it still has its types."""
    with suppress(*_UNREADABLE):
        for series, upto_ns in source.execute("SELECT series, upto_ns FROM recorded"):
            if isinstance(series, str) and series.isprintable() and isinstance(upto_ns, int):
                yield series, upto_ns


def _known_ns(source: sqlite3.Connection) -> int:
    with suppress(*_UNREADABLE):
        (known,) = source.execute("SELECT value FROM tally WHERE name = 'known_ns'").fetchone()
        return known if isinstance(known, int) else 0
    return 0


def _last_seq(source: sqlite3.Connection) -> int:
    """The highest number given out, or 0 when that cannot be read."""
    with suppress(*_UNREADABLE):
        (last,) = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return last if isinstance(last, int) and last <= MAX_SEQ else 0
    return 0


def _reading(path: Path) -> sqlite3.Connection:
    # Who may write puts the log into the file as the last to close it; who may not cannot read a file without a log.
    mode = "ro" if Path(f"{path}-wal").exists() else "rw"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    return connection


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
