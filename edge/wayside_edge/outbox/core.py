"""What the outbox decides, over rows that it does not keep itself.

Each function is one step: it runs inside one transaction of its `Rows`, so a crash leaves all of it or nothing. The
same functions run over SQLite on a board and over a model in the simulator.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from wayside_edge.outbox.bracket import Boot, bracket
from wayside_edge.ports import ABSOLUTE, Appended, ClosedBatch, EpochState, Settled, StoredBatch
from wayside_shared.batch import MAX_DROPPED_BATCHES, Counters, Drop, encode_body
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.ranges import Ranges
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import Ack, Reject, ServerHello

EASE = 0.05
"""Share of what is held that one round of dropping frees, so that a full outbox does not write a tombstone a batch."""
ROW_OVERHEAD_BYTES = 160
"""What SQLite adds to a body: columns, hash, index entry, page slack (measured, rounded up)."""
DELETE_AT_ONCE = 200
"""Rows a transaction deletes at the most: a long delete holds the disk and, on a full one, cannot even begin."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the outbox may hold.

    Args:
        quota_bytes: all rows together.
        tail_bytes: of these, delivered ones kept for a replay.
        tail_ns: how long these stay, in nanoseconds of the agent's own running time; never wall time.
    """

    quota_bytes: int
    tail_bytes: int
    tail_ns: int


@dataclass(frozen=True, slots=True)
class Head:
    """What can be known of a row without its body. `size` is in bytes; `tombstone` rows declare drops."""

    seq: int
    epoch: bytes
    before: int
    n: int
    size: int
    tombstone: bool


class Rows(Protocol):
    """The rows of an outbox within one transaction. All sequence numbers are unique over its epochs."""

    def current(self) -> EpochState:
        """The stream that new batches go to."""

    def begin_epoch(self) -> None:
        """Start a new stream with fresh random bytes; batches before it keep theirs."""

    def insert(self, batch: ClosedBatch, *, stands_for: Head | None = None, tombstone: bool = False) -> int:
        """Number `batch` in the current stream and keep it; returns the number, never given before.

        Args:
            batch: what to keep.
            stands_for: the first of the rows that it declares dropped: until it is delivered, that one is pending.
            tombstone: it declares drops.
        """

    def get(self, seq: int) -> StoredBatch | None:
        """The row, or None when it is gone.

        Raises:
            CorruptRowError: it no longer matches its hash.
        """

    def next_seq(self) -> int:
        """The number that the next batch will get."""

    def pending(self, at_least: int, limit: int) -> Sequence[Head]:
        """Rows not delivered yet, lowest number first."""

    def first_pending(self, epoch: bytes) -> tuple[int, int] | None:
        """Number and `before` of the lowest row of `epoch` not delivered yet, or whose drop is not."""

    def note_upto(self, epoch: bytes, upto: int) -> None:
        """Remember the server's watermark for `epoch`, which may be lower than before."""

    def settle(self, epoch: bytes, numbers: Iterable[tuple[int, bytes]]) -> Sequence[int]:
        """Mark rows of `epoch` delivered, where the SHA-256 of the body begins with the bytes beside the number.

        Returns:
            The numbers of those that are delivered now, also if they were before.
        """

    def unsettle(self, epoch: bytes, above: int, but: Ranges) -> Sequence[int]:
        """Mark the delivered rows of `epoch` above `above`, but for some, pending again; returns their numbers."""

    def kept_epochs(self) -> Sequence[EpochState]:
        """Every stream of which there are rows, and the current one, which is the last."""

    def quarantine(self, seq: int, code: str) -> None:
        """Set a pending row aside: the server refused it for good."""

    def remove(self, seqs: Iterable[int]) -> None:
        """Forget rows."""

    def delivered(self, limit: int) -> Sequence[tuple[int, int, int]]:
        """Number, size and delivery time (running time, ns) of delivered or quarantined rows, oldest first."""

    def known_ns(self) -> int:
        """The last UTC time known for certain, in nanoseconds; 0 when none ever was."""

    def note_known(self, wall_ns: int) -> None:
        """Remember that it is `wall_ns`, for certain."""

    def see_boot(self, boot_id: bytes) -> None:
        """Remember that this boot came after all seen before it, and after the last time known."""

    def note_boot(self, boot_id: bytes, clock: ClockMap) -> None:
        """Keep `clock` as the map of a boot unless a synced one is known."""

    def boot_clock(self, boot_id: bytes) -> ClockMap | None:
        """The map noted of a boot; None while there is none."""

    def boots(self) -> Sequence[Boot]:
        """The boots seen, oldest first, with what their pending rows say of them."""

    def used_bytes(self) -> int:
        """Bytes that all rows take."""

    def delivered_bytes(self) -> int:
        """Bytes that delivered and quarantined rows take."""


class CorruptRowError(Exception):
    """A stored row no longer matches its hash."""

    def __init__(self, head: Head) -> None:
        self.head = head
        super().__init__(f"batch {head.seq} no longer matches its hash")


def append(rows: Rows, batch: ClosedBatch, limits: Limits, *, reason: DropReason | None = None) -> Appended:
    """Accept `batch`, giving up the oldest rows where there is no room.

    Args:
        rows: the transaction's rows.
        batch: what to accept.
        limits: the bounds.
        reason: give rows up even under the quota, for this reason (a disk near its floor).
    """
    if batch.clock is not ABSOLUTE:
        rows.see_boot(batch.boot_id)
        if batch.clock.state is ClockState.SYNCED:
            rows.note_known(batch.clock.wall_ns)
    size, used, first = len(batch.body) + ROW_OVERHEAD_BYTES, rows.used_bytes(), rows.next_seq()
    excess = used + size - limits.quota_bytes
    dropped: list[Head] = []
    if excess > 0 or reason is not None:
        dropped = make_room(rows, max(excess, size) + int(used * EASE), reason or DropReason.QUOTA)
    added = range(first, rows.insert(batch) + 1)
    return Appended(added, [head.seq for head in dropped], sum(head.n for head in dropped))


def make_room(rows: Rows, needed: int, reason: DropReason) -> list[Head]:
    """Free `needed` bytes: delivered rows first, then the oldest pending ones, which a tombstone then declares."""
    freed = 0
    while freed < needed and (delivered := rows.delivered(DELETE_AT_ONCE)):
        rows.remove([seq for seq, _, _ in delivered])
        freed += sum(size for _, size, _ in delivered)
    dropped: list[Head] = []
    at = 0
    while freed < needed and (heads := rows.pending(at, DELETE_AT_ONCE)):
        at = heads[-1].seq + 1
        for head in heads:
            if freed < needed and not head.tombstone:
                dropped.append(head)
                freed += head.size
    rows.remove([head.seq for head in dropped])
    declare(rows, dropped, reason)
    return dropped


def declare(rows: Rows, dropped: Sequence[Head], reason: DropReason) -> None:
    """Write tombstones for `dropped`, which are delivered like data."""
    for at in range(0, len(dropped), MAX_DROPPED_BATCHES):
        part = dropped[at : at + MAX_DROPPED_BATCHES]
        body = encode_body((), _drops(part, reason))
        rows.insert(ClosedBatch(n=0, body=body, boot_id=bytes(16), clock=ABSOLUTE), stands_for=part[0], tombstone=True)


def _drops(dropped: Sequence[Head], reason: DropReason) -> list[Drop]:
    """One drop for each run of numbers."""
    runs: list[list[Head]] = []
    for head in dropped:
        last = runs[-1][-1] if runs else None
        if last is not None and (last.seq + 1, last.epoch) == (head.seq, head.epoch):
            runs[-1].append(head)
        else:
            runs.append([head])
    return [_drop(run, reason) for run in runs]


def settle(rows: Rows, ack: Ack) -> Settled:
    """Take in an acknowledgement: the rows it names are delivered; refused ones are set aside or numbered anew."""
    epoch = ack.epoch
    state = rows.current()
    behind = state.epoch == epoch and ack.upto < state.acked_upto
    if not behind:
        rows.note_upto(epoch, ack.upto)
    delivered = rows.settle(epoch, ack.confirmed())
    refused: list[Reject] = []
    refused_samples = 0
    requeued: list[tuple[int, int]] = []
    for reject in ack.rejects:
        head = _pending_head(rows, epoch, reject.seq)
        if head is None:
            continue
        if reject.code is not RejectCode.SEQ_REUSE:
            rows.quarantine(reject.seq, reject.code.value)
            refused.append(reject)
            refused_samples += head.n
            continue
        if rows.current().epoch == epoch:
            rows.begin_epoch()
        requeued.append((reject.seq, _requeue(rows, head)))
    return Settled(delivered, refused, refused_samples, requeued, behind)


def rewind(rows: Rows, hello: ServerHello) -> Sequence[int]:
    """Make pending again what is marked delivered and the server does not have; returns the numbers."""
    rows.note_upto(hello.epoch, hello.contiguous_upto)
    but = Ranges()
    for first, last in hello.ranges:
        but.add(first, last)
    return rows.unsettle(hello.epoch, hello.contiguous_upto, but)


def note_clock(rows: Rows, boot_id: bytes, clock: ClockMap) -> None:
    """Take in the synced `clock` of the running boot, which also bounds the times of boots that never knew theirs."""
    rows.note_boot(boot_id, clock)
    for earlier, estimated in bracket(rows.boots()).items():
        rows.note_boot(earlier, estimated)


def timed(rows: Rows, row: StoredBatch) -> StoredBatch:
    """`row` with the best clock map: its own when that was trusted, else what is known of its boot by now."""
    known = None if row.clock.state is ClockState.SYNCED else rows.boot_clock(row.boot_id)
    return row if known is None else replace(row, clock=known)


def trim(rows: Rows, limits: Limits, running_ns: int) -> int:
    """Forget delivered rows that the tail no longer keeps, at most `DELETE_AT_ONCE`; returns how many."""
    excess = rows.delivered_bytes() - limits.tail_bytes
    goners: list[int] = []
    for seq, size, delivered_ns in rows.delivered(DELETE_AT_ONCE):
        if excess <= 0 and running_ns - delivered_ns <= limits.tail_ns:
            break
        goners.append(seq)
        excess -= size
    rows.remove(goners)
    return len(goners)


def counters(rows: Rows) -> tuple[EpochState, Counters]:
    """The current stream, and what to tell the server of it."""
    state = rows.current()
    next_seq = rows.next_seq()
    first = rows.first_pending(state.epoch)
    pending_from, pending_before = (next_seq, state.accepted) if first is None else first
    return state, Counters(next_seq, state.accepted, pending_from, pending_before)


def _requeue(rows: Rows, head: Head) -> int:
    try:
        row = rows.get(head.seq)
    except CorruptRowError as error:
        rows.remove([head.seq])
        declare(rows, [error.head], DropReason.CORRUPT)
        return rows.next_seq() - 1
    if row is None:
        raise LookupError(f"batch {head.seq} was pending and is gone")
    seq = rows.insert(ClosedBatch(row.n, row.body, row.boot_id, row.clock), tombstone=head.tombstone)
    rows.remove([head.seq])
    return seq


def _pending_head(rows: Rows, epoch: bytes, seq: int) -> Head | None:
    heads = rows.pending(seq, 1)
    return heads[0] if heads and heads[0].seq == seq and heads[0].epoch == epoch else None


def _drop(run: Sequence[Head], reason: DropReason) -> Drop:
    return Drop(run[0].epoch, run[0].seq, [head.n for head in run], reason)
