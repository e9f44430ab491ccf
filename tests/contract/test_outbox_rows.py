"""What every implementation of the outbox's rows must do, and what the outbox decides over each of them."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wayside_edge.outbox import core
from wayside_edge.outbox.bracket import Boot
from wayside_edge.outbox.sqlite import SqliteRows, connect
from wayside_edge.ports import ClosedBatch
from wayside_shared.batch import Counters, Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import DIGEST_BYTES, Ack, Reject, ServerHello
from wayside_testkit.rows import ModelRows

WIDE = core.Limits(quota_bytes=1 << 30, tail_bytes=1 << 20, tail_ns=1 << 60)
CLOCK = ClockMap(5, 6, ClockState.SYNCED, 7)


@pytest.fixture(params=["model", "sqlite"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[core.Rows]:
    if request.param == "model":
        yield ModelRows()
        return
    connection = connect(tmp_path / "outbox.db", 1 << 30)
    yield SqliteRows(connection, 0)
    connection.close()


def closed(n: int = 3, size: int = 100) -> ClosedBatch:
    return ClosedBatch(n, bytes(size), b"boot-of-the-test", CLOCK)


def ack(rows: core.Rows, *ranges: tuple[int, int], upto: int = 0, rejects: tuple[Reject, ...] = ()) -> Ack:
    return Ack(rows.current().epoch, upto, ranges, rejects)


def pending(rows: core.Rows) -> list[int]:
    return [head.seq for head in rows.pending(0, 1000)]


def test_numbers_rise_by_one_and_count_samples(rows: core.Rows) -> None:
    seqs = [core.append(rows, closed(n), WIDE).added[-1] for n in (3, 5, 2)]
    assert seqs == [1, 2, 3]
    stored = rows.get(3)
    assert stored is not None
    assert (stored.before, stored.n, stored.first_seq, stored.clock) == (8, 2, 1, CLOCK)
    state, counters = core.counters(rows)
    assert counters == Counters(next_seq=4, accepted=10, pending_from=1, pending_before=0)
    assert state.accepted == 10


def test_a_drained_outbox_never_gives_a_number_again(rows: core.Rows) -> None:
    for _ in range(5):
        core.append(rows, closed(), WIDE)
    core.settle(rows, ack(rows, (1, 5), upto=5))
    rows.remove(range(1, 6))
    assert core.append(rows, closed(), WIDE).added == range(6, 7)


def test_only_named_numbers_of_the_epoch_are_settled(rows: core.Rows) -> None:
    for _ in range(4):
        core.append(rows, closed(), WIDE)
    settled = core.settle(rows, ack(rows, (2, 3), upto=4))
    assert settled.delivered == [2, 3]
    assert pending(rows) == [1, 4], "the watermark alone settles nothing"
    other = core.settle(rows, Ack(b"another epoch---", 4, [(1, 4)]))
    assert other.delivered == []
    assert core.counters(rows)[1].pending_from == 1


def test_an_acknowledgement_of_other_content_settles_nothing(rows: core.Rows) -> None:
    for _ in range(2):
        core.append(rows, closed(), WIDE)
    right = hashlib.sha256(closed().body).digest()[:DIGEST_BYTES]
    settled = core.settle(rows, Ack(rows.current().epoch, 2, [(1, 2)], digests=b"nope" + right))
    assert settled.delivered == [2]
    assert pending(rows) == [1]
    again = core.settle(rows, Ack(rows.current().epoch, 2, [(2, 2)], digests=right))
    assert again.delivered == [2], "a repeated acknowledgement says the same"


def test_a_watermark_that_falls_is_noticed_and_rewound(rows: core.Rows) -> None:
    for _ in range(4):
        core.append(rows, closed(), WIDE)
    core.settle(rows, ack(rows, (1, 4), upto=4))
    core.append(rows, closed(), WIDE)
    assert core.settle(rows, ack(rows, (5, 5), upto=2)).behind
    assert rows.current().acked_upto == 4
    answer = ServerHello(b"12345678", rows.current().epoch, 2, 4, "server", [(4, 4)])
    assert core.rewind(rows, answer) == [3, 5]
    assert pending(rows) == [3, 5]
    assert rows.current().acked_upto == 2


def test_a_refused_batch_is_set_aside(rows: core.Rows) -> None:
    core.append(rows, closed(), WIDE)
    reject = Reject(1, RejectCode.MALFORMED, "why")
    settled = core.settle(rows, ack(rows, rejects=(reject,)))
    assert settled.refused == [reject]
    assert pending(rows) == []
    assert rows.get(1) is not None, "kept for whoever looks into it"


def test_a_reused_number_starts_a_new_epoch_and_is_numbered_anew(rows: core.Rows) -> None:
    for _ in range(3):
        core.append(rows, closed(), WIDE)
    old = rows.current().epoch
    settled = core.settle(
        rows, Ack(old, 0, (), [Reject(2, RejectCode.SEQ_REUSE, ""), Reject(3, RejectCode.SEQ_REUSE, "")])
    )
    assert settled.requeued == [(2, 4), (3, 5)]
    assert pending(rows) == [1, 4, 5]
    moved = rows.get(5)
    assert moved is not None
    assert (moved.epoch, moved.first_seq, moved.before) == (rows.current().epoch, 4, 3)
    assert moved.epoch != old


def test_a_full_outbox_gives_up_its_oldest_and_declares_them(rows: core.Rows) -> None:
    one = 1000 + core.ROW_OVERHEAD_BYTES
    limits = core.Limits(quota_bytes=10 * one, tail_bytes=0, tail_ns=0)
    dropped: list[int] = []
    for _ in range(30):
        dropped.extend(core.append(rows, closed(4, 1000), limits).dropped)
    assert rows.used_bytes() <= limits.quota_bytes + one
    kept = [head for head in rows.pending(0, 100) if not head.tombstone]
    assert sorted(dropped + [head.seq for head in kept]) == sorted(set(range(1, rows.next_seq())) - _tombstones(rows))
    declared = {
        drop.first_seq + i
        for seq in _tombstones(rows)
        for drop in _drops(rows, seq)
        for i in range(len(drop.counts))
        if drop.reason is DropReason.QUOTA and set(drop.counts) == {4}
    }
    assert declared == set(dropped)
    assert core.counters(rows)[1].pending_from == 1, "a drop that is not delivered is not settled"
    assert core.counters(rows)[1].pending_before == 0


def test_delivered_rows_go_before_pending_ones(rows: core.Rows) -> None:
    one = 1000 + core.ROW_OVERHEAD_BYTES
    limits = core.Limits(quota_bytes=10 * one, tail_bytes=9 * one, tail_ns=1 << 60)
    for _ in range(9):
        core.append(rows, closed(1, 1000), limits)
    core.settle(rows, ack(rows, (1, 5), upto=5))
    appended = [core.append(rows, closed(1, 1000), limits) for _ in range(3)]
    assert [a.dropped for a in appended] == [[], [], []]


def test_the_tail_is_kept_by_size_and_running_time(rows: core.Rows) -> None:
    for _ in range(10):
        core.append(rows, closed(1, 1000), WIDE)
    core.settle(rows, ack(rows, (1, 10), upto=10))
    size = 1000 + core.ROW_OVERHEAD_BYTES
    assert core.trim(rows, core.Limits(1 << 30, 4 * size, 1 << 60), 0) == 6
    assert core.trim(rows, core.Limits(1 << 30, 4 * size, 100), 100) == 0
    assert core.trim(rows, core.Limits(1 << 30, 4 * size, 100), 101) == 4


def _tombstones(rows: core.Rows) -> set[int]:
    return {head.seq for head in rows.pending(0, 1000) if head.tombstone}


def _drops(rows: core.Rows, seq: int):  # type: ignore[no-untyped-def]
    row = rows.get(seq)
    assert row is not None
    envelope = Envelope("dev-1", row.epoch, row.first_seq, row.seq, row.before, row.n, row.boot_id, row.clock, None)
    return decode_body(Message(envelope, row.body)).drops


def test_a_flipped_bit_is_found_and_its_samples_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    connection = connect(path, 1 << 30)
    rows = SqliteRows(connection, 0)
    for n in (3, 4, 5):
        core.append(rows, closed(n), WIDE)
    connection.execute("UPDATE batch SET body = ? WHERE seq = 2", (bytes(99) + b"\x01",))
    with pytest.raises(core.CorruptRowError) as caught:
        rows.get(2)
    assert (caught.value.head.seq, caught.value.head.n) == (2, 4)
    connection.close()


@pytest.mark.parametrize("pragma", ["synchronous=NORMAL", "journal_mode=DELETE"])
def test_a_connection_that_is_not_durable_is_refused(
    tmp_path: Path, pragma: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine: Callable[..., sqlite3.Connection] = sqlite3.connect

    class Lax(sqlite3.Connection):
        """A SQLite that quietly does not do what it is told, as some builds and snippets do."""

        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            name = pragma.partition("=")[0]
            told = sql == f"PRAGMA {name}=" + {"synchronous": "FULL", "journal_mode": "WAL"}[name]
            return super().execute(f"PRAGMA {pragma}" if told else sql, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: genuine(*args, factory=Lax, **kwargs))
    with pytest.raises(Exception, match="put the outbox on a local file system"):
        connect(tmp_path / "outbox.db", 1 << 30)


def test_boots_are_kept_in_order_with_what_was_known_before_them(rows: core.Rows) -> None:
    dark = ClockMap(70, 71, ClockState.UNSYNCED)
    core.append(rows, ClosedBatch(1, b"a", b"boot-of-the-test", ClockMap(5, 1_000, ClockState.SYNCED)), WIDE)
    core.append(rows, ClosedBatch(1, b"b", b"the-dark-boot---", replace(dark, boottime_ns=60)), WIDE)
    core.append(rows, ClosedBatch(1, b"c", b"the-dark-boot---", dark), WIDE)
    rows.note_boot(b"the-boot-after--", CLOCK)
    first, second, third = rows.boots()
    assert (first.boot_id, first.after_ns, first.last_ns) == (b"boot-of-the-test", 0, 5)
    assert second == Boot(b"the-dark-boot---", 1_000, 70, dark)
    assert third == Boot(b"the-boot-after--", 1_000, 0, CLOCK)
    assert rows.boot_clock(b"the-dark-boot---") is None
    rows.note_boot(b"the-boot-after--", dark)
    assert rows.boot_clock(b"the-boot-after--") == CLOCK, "a synced map stays"
