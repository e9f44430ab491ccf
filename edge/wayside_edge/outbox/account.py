"""Sums over an outbox, for those who look at it."""

import sqlite3
from pathlib import Path

from wayside_edge.errors import OutboxError
from wayside_edge.ports import Clock, OutboxAccount
from wayside_shared.clock import ClockState


def of(db: sqlite3.Connection, clock: Clock) -> OutboxAccount:
    """What the outbox behind `db` holds.

    Args:
        db: a connection to it.
        clock: this machine's, for the age of the oldest batch.
    """
    batches, samples, oldest = db.execute(
        "SELECT count(*), coalesce(sum(n), 0), min(seq) FROM batch WHERE state = 0"
    ).fetchone()
    (used,) = db.execute("SELECT coalesce(sum(value), 0) FROM tally WHERE name = 'used_bytes'").fetchone()
    (accepted,) = db.execute("SELECT coalesce((SELECT accepted FROM epoch ORDER BY id DESC LIMIT 1), 0)").fetchone()
    return OutboxAccount(accepted, samples, batches, None if oldest is None else _age_ns(db, oldest, clock), used)


def peek(path: Path, clock: Clock) -> OutboxAccount:
    """What the file at `path` holds, without taking it: for a look while no agent runs.

    Raises:
        OutboxError: it is not there, or is no outbox.
    """
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return of(db, clock)
        finally:
            db.close()
    except (sqlite3.Error, TypeError) as error:
        raise OutboxError(f"outbox {path}: {error}") from error


def _age_ns(db: sqlite3.Connection, seq: int, clock: Clock) -> int | None:
    boot_id, boottime_ns, wall_ns, state = db.execute(
        "SELECT boot_id, boottime_ns, wall_ns, clock_state FROM batch WHERE seq = ?", (seq,)
    ).fetchone()
    if boot_id == clock.boot_id():
        return max(clock.boottime_ns() - int(boottime_ns), 0)
    if state == ClockState.SYNCED.value and clock.synced():
        return max(clock.wall_ns() - int(wall_ns), 0)
    return None
