"""Whether an outbox file can be believed, and what beside its batches can be made anew."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from wayside_edge.outbox.schema import MAX_SEQ, PENDING, SIZE, seal
from wayside_edge.outbox.sqlite import connect
from wayside_edge.outbox.wal import holds_lost_commits

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\x00"
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


MISREAD = (TypeError, ValueError, LookupError, ArithmeticError)
"""What comes of values that damage has given other types or sizes than their columns'."""


class MisreadError(sqlite3.DatabaseError):
    """A value has not the type of its column."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def __init__(self) -> None:
        super().__init__("database disk image is malformed")


class LostCommitsError(sqlite3.DatabaseError):
    """The write-ahead log holds transactions that SQLite does not read."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


@dataclass(frozen=True, slots=True)
class Mended:
    """What was damaged beside batches and has been put right.

    Args:
        unsettled: batches whose delivery can no longer be believed; they are sent again, which the server notices.
        clocks: clock maps of boots that were forgotten: the batches of these boots go with their own.
        sums: running sums that were reckoned anew.
    """

    unsettled: int
    clocks: int
    sums: int


def is_damage(error: BaseException) -> bool:
    """Whether `error` says that the file, and not the disk or the moment, is at fault."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.DatabaseError) and code is not None and code & 0xFF in _DAMAGE


def connect_sound(path: Path, max_bytes: int) -> tuple[sqlite3.Connection, Mended]:
    """`connect`, and a look, without reading bodies, at what the delivery of all rows rests on.

    An index that disagrees with its table is built anew, and what is told by `Mended` is put right.

    Raises:
        sqlite3.DatabaseError, TypeError, ValueError: as `connect`; or the file is damaged (see `is_damage`).
    """
    if holds_lost_commits(path):
        # Before SQLite opens it, for that would write over them.
        message = "the write-ahead log is damaged"
        raise LostCommitsError(message)
    connection = connect(path, max_bytes)
    try:
        _check_epochs(connection)
        _check_numbers(connection)
        _check_streams(connection)
        mended = _mend(connection)
    except BaseException:
        connection.close()
        raise
    return connection, mended


def breaks_its_schema(connection: sqlite3.Connection) -> bool:
    """Whether the file is at fault where reading it ended in an error of `MISREAD`: a NULL where there is none, a
    number that is a text, a page that is another."""
    try:
        return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except (sqlite3.Error, *MISREAD):
        return True


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


def _check_epochs(connection: sqlite3.Connection) -> None:
    """Numbers and counts of what is accepted from now on rest on these; only the batches can tell them anew."""
    for row in connection.execute("SELECT epoch, first_seq, accepted, acked_upto, seal FROM epoch"):
        if seal(*row[:4]) != row[4]:
            message = "an epoch no longer matches its hash"
            raise ValueError(message)


def _check_numbers(connection: sqlite3.Connection) -> None:
    """A counter that fell back would give numbers out again, or none at all."""
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone() or (0,)
    (held,) = connection.execute("SELECT coalesce(max(seq), 0) FROM batch NOT INDEXED").fetchone()
    (begun, accepted) = connection.execute("SELECT max(first_seq), max(accepted) FROM epoch").fetchone()
    least = max(held, begun - 1, 1 if accepted else 0)
    if not isinstance(last[0], int) or not least <= last[0] <= MAX_SEQ:
        message = "the highest number given out is damaged"
        raise ValueError(message)


def _check_streams(connection: sqlite3.Connection) -> None:
    """What is pending, and from where, is told by stream: a batch under none or another's would count as missing."""
    (stray,) = connection.execute(
        "SELECT count(*) FROM batch b NOT INDEXED LEFT JOIN epoch e ON e.id = b.epoch_id"
        " WHERE b.seq < 1 OR typeof(b.epoch_id) <> 'integer' OR e.epoch IS NOT b.epoch"
    ).fetchone()
    if stray:
        message = "a batch is not under its epoch"
        raise ValueError(message)


def _mend(connection: sqlite3.Connection) -> Mended:
    connection.execute("BEGIN IMMEDIATE")
    try:
        unsettled = _unsettle_unsealed(connection)
        for where, index in (("state = 0", "batch_pending"), ("state <> 0", "batch_settled")):
            sums = [
                connection.execute(f"SELECT count(*), total(seq) FROM batch {how} WHERE {where}").fetchone()  # noqa: S608
                for how in ("NOT INDEXED", f"INDEXED BY {index}")
            ]
            if sums[0] != sums[1]:
                connection.execute("REINDEX")
        mended = Mended(unsettled, _forget_unsealed_clocks(connection), _reckon_sums(connection))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return mended


def _unsettle_unsealed(connection: sqlite3.Connection) -> int:
    settled = connection.execute("SELECT seq, state, settled_ns, code, seal FROM batch NOT INDEXED WHERE state <> 0")
    wrong = [(row[0],) for row in settled if seal(*row[:4]) != row[4]]
    connection.executemany(
        f"UPDATE batch SET state = {PENDING}, settled_ns = NULL, code = NULL, seal = NULL WHERE seq = ?",  # noqa: S608
        wrong,
    )
    return len(wrong)


def _forget_unsealed_clocks(connection: sqlite3.Connection) -> int:
    known = connection.execute(
        "SELECT id, boot_id, after_ns, boottime_ns, wall_ns, clock_state, err_ms, seal FROM seen_boot"
    )
    wrong = [(row[0],) for row in known if seal(*row[1:7]) != row[7]]
    connection.executemany("DELETE FROM seen_boot WHERE id = ?", wrong)
    return len(wrong)


def _reckon_sums(connection: sqlite3.Connection) -> int:
    """A sum that is too high would give up batches for room that is there."""
    wrong = 0
    for name, where in (("used_bytes", "true"), ("settled_bytes", "state <> 0")):
        (held,) = connection.execute(f"SELECT coalesce(sum({SIZE}), 0) FROM batch WHERE {where}").fetchone()  # noqa: S608
        wrong += connection.execute(
            "UPDATE tally SET value = ? WHERE name = ? AND value IS NOT ?", (held, name, held)
        ).rowcount
    for name, least in (("running_ns", "(SELECT coalesce(max(settled_ns), 0) FROM batch)"), ("known_ns", "0")):
        wrong += connection.execute(
            f"UPDATE tally SET value = {least} WHERE name = ? AND (typeof(value) <> 'integer' OR value < 0)",  # noqa: S608
            (name,),
        ).rowcount
    return wrong
