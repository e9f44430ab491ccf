"""The outbox under any order of steps and crashes, on the model and on SQLite at once."""

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wayside_edge.outbox import core
from wayside_edge.outbox.sqlite import SqliteRows, connect
from wayside_edge.ports import ClosedBatch
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.ranges import Ranges
from wayside_shared.rejects import RejectCode
from wayside_shared.session import DIGEST_BYTES, Ack, Reject, ServerHello
from wayside_testkit.rows import ModelRows

CLOCK = ClockMap(5, 6, ClockState.SYNCED)
LIMITS = core.Limits(quota_bytes=6_000, tail_bytes=2_000, tail_ns=1 << 60)


class PowerCutError(Exception):
    """The process died at this point."""


class OutboxMachine(RuleBasedStateMachine):
    """Appends, acknowledgements, refusals, rewinds and power cuts; every accepted batch stays accounted for."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "outbox.db"
        self.model = ModelRows()
        self.accepted: dict[bytes, int] = {}
        self.delivered: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self.made = 0

    @initialize()
    def open(self) -> None:
        self.db: sqlite3.Connection = connect(self.path, 1 << 30)
        self.share_epoch()

    def teardown(self) -> None:
        self.db.close()
        self.folder.cleanup()

    def on_sqlite(self, step, *, cut: bool = False):  # type: ignore[no-untyped-def]
        """Run `step` in a transaction; with `cut` the process dies before the commit."""
        self.db.execute("BEGIN IMMEDIATE")
        result = step(SqliteRows(self.db, 0, self.next_epoch))
        if cut:
            # Closed without a commit, as a killed process leaves it; opened again as the next start does.
            self.db.close()
            self.db = connect(self.path, 1 << 30)
            raise PowerCutError
        self.db.execute("COMMIT")
        return result

    def body(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(4, "big") + bytes(size)

    @rule(n=st.integers(1, 9), size=st.integers(0, 900))
    def accept(self, n: int, size: int) -> None:
        batch = ClosedBatch(n, self.body(size), b"boot-of-the-test", CLOCK)
        held = {seq: item.row.body for seq, item in self.model.stored.items()}
        first = core.append(self.model, batch, LIMITS)
        second = self.on_sqlite(lambda rows: core.append(rows, batch, LIMITS))
        assert (list(first.added), list(first.dropped)) == (list(second.added), list(second.dropped))
        assert self.declared(first.added) == set(first.dropped)
        self.dropped |= {held[seq] for seq in first.dropped}
        self.accepted[batch.body] = n

    @rule(n=st.integers(1, 9))
    def die_while_accepting(self, n: int) -> None:
        batch = ClosedBatch(n, self.body(50), b"boot-of-the-test", CLOCK)
        try:
            self.on_sqlite(lambda rows: core.append(rows, batch, LIMITS), cut=True)
        except PowerCutError:
            return

    @precondition(lambda self: self.model.pending(0, 1))
    @rule(data=st.data(), honest=st.booleans(), cut=st.booleans())
    def acknowledge(self, data: st.DataObject, honest: bool, cut: bool) -> None:
        head = data.draw(st.sampled_from(list(self.model.pending(0, 50))))
        row = self.model.get(head.seq)
        assert row is not None
        digest = hashlib.sha256(row.body).digest()[:DIGEST_BYTES] if honest else b"\0\0\0\0"
        ack = Ack(head.epoch, head.seq, [(head.seq, head.seq)], digests=digest)
        self.both(lambda rows: core.settle(rows, ack), cut)
        if honest and not cut:
            self.delivered.add(row.body)

    @precondition(lambda self: self.model.pending(0, 1))
    @rule(data=st.data(), reuse=st.booleans())
    def refuse(self, data: st.DataObject, reuse: bool) -> None:
        head = data.draw(st.sampled_from(list(self.model.pending(0, 50))))
        row = self.model.get(head.seq)
        assert row is not None
        code = RejectCode.SEQ_REUSE if reuse else RejectCode.MALFORMED
        self.both(lambda rows: core.settle(rows, Ack(head.epoch, 0, (), [Reject(head.seq, code, "")])), cut=False)
        if not reuse:
            self.refused.add(row.body)

    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(self.model.kept_epochs())).epoch
        above = data.draw(st.integers(0, self.model.last_seq))
        have = sorted(data.draw(st.sets(st.integers(above + 1, above + 20), max_size=4)))
        hello = ServerHello(b"12345678", epoch, above, above, "server", Ranges(have).pairs())
        first = core.rewind(self.model, hello)
        assert first == self.on_sqlite(lambda rows: core.rewind(rows, hello))
        self.delivered -= {self.model.stored[seq].row.body for seq in first}

    @rule()
    def trim(self) -> None:
        assert core.trim(self.model, LIMITS, 0) == self.on_sqlite(lambda rows: core.trim(rows, LIMITS, 0))

    def both(self, step, cut: bool) -> None:  # type: ignore[no-untyped-def]
        if cut:
            try:
                self.on_sqlite(step, cut=True)
            except PowerCutError:
                return
        assert step(self.model) == self.on_sqlite(step)

    def declared(self, seqs: Iterable[int]) -> set[int]:
        """The numbers that tombstones among `seqs` give up."""
        numbers: set[int] = set()
        for seq in seqs:
            item = self.model.stored[seq]
            if item.tombstone:
                row = item.row
                envelope = Envelope("d-1", row.epoch, row.first_seq, seq, row.before, 0, row.boot_id, CLOCK, None)
                for drop in decode_body(Message(envelope, row.body)).drops:
                    numbers.update(range(drop.first_seq, drop.first_seq + len(drop.counts)))
        return numbers

    def share_epoch(self) -> None:
        """Give SQLite's first epoch the model's bytes: only the randomness differs."""
        self.db.execute("UPDATE epoch SET epoch = ?", (self.model.current().epoch,))

    def next_epoch(self) -> bytes:
        """What the model calls the epoch that follows those in the database."""
        (count,) = self.db.execute("SELECT count(*) FROM epoch").fetchone()
        return f"device/{count + 1}".encode().ljust(16, b".")

    @invariant()
    def model_and_sqlite_agree(self) -> None:
        rows = SqliteRows(self.db, 0)
        assert rows.pending(0, 10_000) == self.model.pending(0, 10_000)
        assert core.counters(rows) == core.counters(self.model)
        assert rows.kept_epochs() == self.model.kept_epochs()
        assert (rows.used_bytes(), rows.delivered_bytes()) == (self.model.used_bytes(), self.model.delivered_bytes())

    @invariant()
    def every_accepted_batch_is_pending_delivered_refused_or_declared(self) -> None:
        kept = {item.row.body for item in self.model.stored.values()}
        assert self.accepted.keys() <= kept | self.delivered | self.refused | self.dropped
        assert not self.dropped & (kept | self.refused)


OutboxMachine.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutbox = OutboxMachine.TestCase
