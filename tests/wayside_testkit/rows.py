"""The outbox's rows as plain Python: the model that the simulator crashes, held to SQLite's contract."""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from wayside_edge.outbox.bracket import Boot
from wayside_edge.outbox.core import ROW_OVERHEAD_BYTES, Head
from wayside_edge.ports import ClosedBatch, EpochState, StoredBatch
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.ranges import Ranges


@dataclass
class _Stored:
    row: StoredBatch
    tombstone: bool
    stands_for: Head | None = None
    state: int = 0
    settled_ns: int = 0
    code: str | None = None

    @property
    def size(self) -> int:
        return len(self.row.body) + ROW_OVERHEAD_BYTES


@dataclass
class ModelRows:
    """`outbox.core.Rows` in memory. `transaction` gives all or nothing."""

    epochs: list[EpochState] = field(default_factory=list)
    stored: dict[int, _Stored] = field(default_factory=dict)
    last_seq: int = 0
    running_ns: int = 0
    epochs_made: int = 0
    known: int = 0
    seen: dict[bytes, tuple[int, ClockMap | None]] = field(default_factory=dict)
    name: str = "device"

    def __post_init__(self) -> None:
        if not self.epochs:
            self.begin_epoch()

    @contextmanager
    def transaction(self) -> Iterator["ModelRows"]:
        """Run a step; whatever it raises, nothing of it remains."""
        before = copy.deepcopy(self.__dict__)
        try:
            yield self
        except BaseException:
            self.__dict__.update(before)
            raise

    def current(self) -> EpochState:
        return self.epochs[-1]

    def begin_epoch(self) -> None:
        self.epochs_made += 1
        epoch = f"{self.name}/{self.epochs_made}".encode().ljust(16, b".")[:16]
        self.epochs.append(EpochState(epoch, self.next_seq(), 0, self.next_seq() - 1))

    def insert(self, batch: ClosedBatch, *, stands_for: Head | None = None, tombstone: bool = False) -> int:
        state = self.epochs[-1]
        self.last_seq += 1
        seq = self.last_seq
        row = StoredBatch(
            seq, state.epoch, state.first_seq, state.accepted, batch.n, batch.boot_id, batch.clock, batch.body
        )
        self.stored[seq] = _Stored(row, tombstone, stands_for)
        self.epochs[-1] = replace(state, accepted=state.accepted + batch.n)
        return seq

    def get(self, seq: int) -> StoredBatch | None:
        found = self.stored.get(seq)
        return None if found is None else found.row

    def next_seq(self) -> int:
        return self.last_seq + 1

    def pending(self, at_least: int, limit: int) -> Sequence[Head]:
        seqs = sorted(seq for seq, item in self.stored.items() if item.state == 0 and seq >= at_least)[:limit]
        return [
            Head(seq, item.row.epoch, item.row.before, item.row.n, item.size, item.tombstone)
            for seq, item in ((seq, self.stored[seq]) for seq in seqs)
        ]

    def first_pending(self, epoch: bytes) -> tuple[int, int] | None:
        items = [item for item in self.stored.values() if item.state == 0]
        own = [(item.row.seq, item.row.before) for item in items if item.row.epoch == epoch]
        gone = [item.stands_for for item in items if item.stands_for is not None]
        return min(own + [(head.seq, head.before) for head in gone if head.epoch == epoch], default=None)

    def note_upto(self, epoch: bytes, upto: int) -> None:
        for at, state in enumerate(self.epochs):
            if state.epoch == epoch:
                self.epochs[at] = replace(state, acked_upto=upto)

    def settle(self, epoch: bytes, numbers: Iterable[tuple[int, bytes]]) -> Sequence[int]:
        delivered = []
        for seq, digest in numbers:
            item = self.stored.get(seq)
            if item is None or item.state == 2 or item.row.epoch != epoch:
                continue
            if hashlib.sha256(item.row.body).digest().startswith(digest):
                if item.state == 0:
                    item.state, item.settled_ns = 1, self.running_ns
                delivered.append(seq)
        return delivered

    def unsettle(self, epoch: bytes, above: int, but: Ranges) -> Sequence[int]:
        again = [
            seq
            for seq, item in sorted(self.stored.items())
            if item.state == 1 and item.row.epoch == epoch and seq > above and seq not in but
        ]
        for seq in again:
            self.stored[seq].state = 0
        return again

    def kept_epochs(self) -> Sequence[EpochState]:
        kept = {item.row.epoch for item in self.stored.values()}
        return [state for state in self.epochs if state.epoch in kept or state is self.epochs[-1]]

    def quarantine(self, seq: int, code: str) -> None:
        item = self.stored.get(seq)
        if item is not None and item.state == 0:
            item.state, item.code, item.settled_ns = 2, code, self.running_ns

    def remove(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            self.stored.pop(seq, None)

    def delivered(self, limit: int) -> Sequence[tuple[int, int, int]]:
        items = sorted((seq, item) for seq, item in self.stored.items() if item.state)
        return [(seq, item.size, item.settled_ns) for seq, item in items][:limit]

    def known_ns(self) -> int:
        return self.known

    def note_known(self, wall_ns: int) -> None:
        self.known = wall_ns

    def see_boot(self, boot_id: bytes) -> None:
        self.seen.setdefault(boot_id, (self.known, None))

    def note_boot(self, boot_id: bytes, clock: ClockMap) -> None:
        self.see_boot(boot_id)
        after_ns, held = self.seen[boot_id]
        if held is None or held.state is not ClockState.SYNCED:
            self.seen[boot_id] = (after_ns, clock)

    def boot_clock(self, boot_id: bytes) -> ClockMap | None:
        return self.seen.get(boot_id, (0, None))[1]

    def boots(self) -> Sequence[Boot]:
        found = []
        for boot_id, (after_ns, clock) in self.seen.items():
            own = [i.row.clock for i in self.stored.values() if i.state == 0 and i.row.boot_id == boot_id]
            last = max(own, key=lambda stamp: stamp.boottime_ns, default=ClockMap(0, 0, ClockState.UNSYNCED))
            believed = clock or ClockMap(last.boottime_ns, last.wall_ns, ClockState.UNSYNCED)
            found.append(Boot(boot_id, after_ns, last.boottime_ns, believed))
        return found

    def used_bytes(self) -> int:
        return sum(item.size for item in self.stored.values())

    def delivered_bytes(self) -> int:
        return sum(item.size for item in self.stored.values() if item.state)
