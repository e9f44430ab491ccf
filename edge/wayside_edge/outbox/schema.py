"""The tables of an outbox, and the hashes that tell damage: SQLite's own check sees no flipped bit in a value."""

import hashlib
from collections.abc import Sequence

from wayside_edge.outbox.core import ROW_OVERHEAD_BYTES
from wayside_shared.session import DIGEST_BYTES

PENDING, DELIVERED, QUARANTINED = 0, 1, 2
MAX_SEQ = 1 << 53
"""A higher number is damage: a thousand batches a second take 285,000 years to get there."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS epoch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch BLOB NOT NULL UNIQUE,
    first_seq INTEGER NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    acked_upto INTEGER NOT NULL,
    seal BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch_id INTEGER NOT NULL,
    epoch BLOB NOT NULL,
    first_seq INTEGER NOT NULL,
    before INTEGER NOT NULL,
    n INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    stands_epoch BLOB,
    stands_seq INTEGER,
    stands_before INTEGER,
    boot_id BLOB NOT NULL,
    boottime_ns INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL,
    clock_state INTEGER NOT NULL,
    err_ms INTEGER NOT NULL,
    digest BLOB NOT NULL,
    hash BLOB NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    settled_ns INTEGER,
    code TEXT,
    seal BLOB,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batch_pending ON batch (seq, epoch_id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS batch_settled ON batch (seq) WHERE state <> 0;
CREATE TABLE IF NOT EXISTS seen_boot (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot_id BLOB NOT NULL UNIQUE,
    after_ns INTEGER NOT NULL,
    boottime_ns INTEGER,
    wall_ns INTEGER,
    clock_state INTEGER,
    err_ms INTEGER,
    seal BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
# A row says by itself which stream it belongs to, under its hash: damage to the epochs cannot send it under another's.
# AUTOINCREMENT is load-bearing: without it a drained table starts again at 1, and the server would take new batches
# for old ones. The body comes last: what lies behind it is read through all its pages.

SIZE = f"length(body) + {ROW_OVERHEAD_BYTES}"
TALLIES = ("running_ns", "used_bytes", "settled_bytes", "known_ns")
HASHED = (
    "epoch",
    "first_seq",
    "before",
    "n",
    "tombstone",
    "boot_id",
    "boottime_ns",
    "wall_ns",
    "clock_state",
    "err_ms",
    "stands_epoch",
    "stands_seq",
    "stands_before",
)
"""What the hash of a batch covers besides number and body; these never change."""
_TYPES: tuple[tuple[type, ...], ...] = (
    *((bytes,), (int,), (int,), (int,), (int,), (bytes,), (int,), (int,), (int,), (int,)),
    *((bytes, type(None)), (int, type(None)), (int, type(None))),
)


def row_hash(seq: int, fields: Sequence[object], body: object) -> bytes | None:
    """The hash of a row, `fields` as named by `HASHED`; None when they have not even their types any more.

    SQLite types values, not columns: damage can turn a body into a text or a number into nothing.
    """
    if not isinstance(body, bytes) or any(type(f) not in types for f, types in zip(fields, _TYPES, strict=True)):
        return None
    digest = hashlib.blake2b(body, digest_size=16)
    digest.update(repr((seq, *fields)).encode())
    return digest.digest()


def body_digest(body: bytes) -> bytes:
    """What an acknowledgement names a body by."""
    return hashlib.sha256(body).digest()[:DIGEST_BYTES]


def seal(*fields: object) -> bytes:
    """The hash of small fields that may change: of a settled row, its number, state, time and code.

    Of an epoch, all but its id; of a boot, all.
    """
    return hashlib.blake2b(repr(fields).encode(errors="surrogateescape"), digest_size=8).digest()
