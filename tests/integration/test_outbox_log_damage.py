"""A damaged write-ahead log, damage beside the batches, and crashes while an outbox is being saved."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge.outbox import salvage
from wayside_edge.outbox.schema import DELIVERED
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.soundness import Mended, connect_sound
from wayside_edge.outbox.sqlite import SqliteRows, connect
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.outbox.wal import PAGE_BYTES, Frame, holds_lost_commits, read_log
from wayside_edge.ports import ClosedBatch, StoredBatch
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.session import Ack
from wayside_testkit.clock import ManualClock

BOOT = b"boot-of-the-test"
CLOCK = ClockMap(5, 6, ClockState.UNSYNCED, 7)
KNOWN = ClockMap(50, 60, ClockState.SYNCED, 1)
CHECKPOINTED, ROWS, DELIVERED_UPTO = 5, 20, 3
HEADER_BYTES, FRAME_BYTES = 32, 24 + PAGE_BYTES
MAX_BYTES = 1 << 26


def n_of(seq: int) -> int:
    return seq % 7 + 1


def outbox(path: Path, **told: Callable[..., None]) -> DurableOutbox:
    settings = OutboxSettings(path=path, free_disk_floor_mb=0, ballast_mb=0)
    return DurableOutbox(settings, ManualClock(), **told)  # type: ignore[arg-type]


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    """An outbox as a killed agent leaves it: some batches in the file, more in the log beside it."""
    running = tmp_path / "running" / "outbox.db"
    store = outbox(running)
    await store.open()
    for seq in range(1, CHECKPOINTED + 1):
        await store.append(ClosedBatch(n_of(seq), bytes([seq]) * 900, BOOT, CLOCK))
    await store.close()
    store = outbox(running)
    await store.open()
    await store.note_clock(BOOT, KNOWN)
    for seq in range(CHECKPOINTED + 1, ROWS + 1):
        await store.append(ClosedBatch(n_of(seq), bytes([seq]) * 900, BOOT, CLOCK))
    await store.settle(Ack((await store.status()).epoch.epoch, DELIVERED_UPTO, [(1, DELIVERED_UPTO)]))
    path = tmp_path / "outbox.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{running}{suffix}", f"{path}{suffix}")
    await store.close()
    return path


def frames(path: Path) -> list[Frame]:
    return list(read_log(path).frames)


def write(path: Path, at: int, data: bytes) -> None:
    with Path(f"{path}-wal").open("r+b") as file:
        file.seek(at)
        file.write(data)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def restore(contents: dict[Path, bytes]) -> None:
    for path, content in contents.items():
        path.write_bytes(content)


def last_of(path: Path, transaction: int) -> int:
    """The place of the frame that ends a transaction."""
    return [place for place, frame in enumerate(frames(path)) if frame.commit][transaction]


async def everything(store: DurableOutbox) -> tuple[list[StoredBatch], dict[int, int]]:
    """The batches to send, and samples by declared number."""
    loaded = await store.load(sorted((await store.status()).pending))
    declared = {}
    for row in loaded.rows:
        if row.n == 0:
            envelope = Envelope("dev-1", row.epoch, row.first_seq, row.seq, row.before, 0, BOOT, CLOCK, None)
            for drop in decode_body(Message(envelope, row.body)).drops:
                declared.update({drop.first_seq + i: n for i, n in enumerate(drop.counts)})
    return [row for row in loaded.rows if row.n], declared


async def assert_all_there(path: Path, *, lost_at_most: int) -> dict[int, int]:
    """Every batch that was pending is delivered as it was, or declared; returns what is declared."""
    salvaged: list[salvage.Salvaged] = []
    store = outbox(path, on_salvage=salvaged.append)
    await store.open()
    sent, declared = await everything(store)
    status = await store.status()
    await store.close()
    assert len(salvaged) == 1
    assert all(row.body == bytes([row.seq]) * 900 and row.n == n_of(row.seq) for row in sent)
    assert {row.seq for row in sent} | set(declared) >= set(range(DELIVERED_UPTO + 1, ROWS + 1))
    assert {row.seq for row in sent}.isdisjoint(declared)
    assert len(declared) <= lost_at_most
    assert status.counters.next_seq > ROWS
    return declared


async def test_a_sound_log_is_left_to_sqlite(killed: Path) -> None:
    assert [frame.intact for frame in frames(killed)] == [True] * len(frames(killed))
    assert read_log(killed).read == len(frames(killed))
    salvaged: list[salvage.Salvaged] = []
    store = outbox(killed, on_salvage=salvaged.append)
    await store.open()
    sent, declared = await everything(store)
    assert [row.seq for row in sent] == list(range(DELIVERED_UPTO + 1, ROWS + 1))
    assert (declared, salvaged) == ({}, [])
    await store.close()


@pytest.mark.parametrize("transaction", [0, 1, 5, 12, -3])
@pytest.mark.parametrize("what", ["a bit of the page", "the page", "the whole frame", "a checksum"])
async def test_what_stands_behind_a_damaged_frame_is_not_lost(killed: Path, transaction: int, what: str) -> None:
    at = HEADER_BYTES + last_of(killed, transaction) * FRAME_BYTES
    page_at = at + 24
    log = bytes_of(Path(f"{killed}-wal"))
    match what:
        case "a bit of the page":
            write(killed, page_at + 100, bytes([log[page_at + 100] ^ 4]))
        case "the page":
            write(killed, page_at, bytes(PAGE_BYTES))
        case "the whole frame":
            write(killed, at, bytes(FRAME_BYTES))
        case _:
            write(killed, at + 16, bytes([log[at + 16] ^ 1]))
    assert holds_lost_commits(killed)
    # Where the frame was the one that made room for a page of batches, nothing leads to that page any more.
    await assert_all_there(killed, lost_at_most=5)


async def test_a_damaged_header_of_the_log_loses_nothing(killed: Path) -> None:
    write(killed, 16, bytes(8))
    declared = await assert_all_there(killed, lost_at_most=0)
    assert declared == {}


async def test_a_header_torn_while_the_log_begins_anew_is_no_damage(killed: Path) -> None:
    connection = sqlite3.connect(killed)
    connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    # All is in the file now, and the next use of the log begins with a new header, which did not get to the disk whole.
    contents = {path: bytes_of(path) for path in (killed, Path(f"{killed}-wal"))}
    connection.close()
    restore(contents)
    write(killed, 12, bytes(12))
    assert read_log(killed).frames
    assert not holds_lost_commits(killed)
    store = outbox(killed, on_salvage=pytest.fail)
    await store.open()
    assert [row.seq for row in (await everything(store))[0]] == list(range(DELIVERED_UPTO + 1, ROWS + 1))
    await store.close()


@pytest.mark.parametrize("damage", ["cut", "zeros", "first frame only"])
async def test_a_torn_last_transaction_was_never_accepted(killed: Path, damage: str) -> None:
    ends = [place for place, frame in enumerate(frames(killed)) if frame.commit]
    begin = HEADER_BYTES + (ends[-2] + 1) * FRAME_BYTES
    match damage:
        case "cut":
            os.truncate(f"{killed}-wal", begin + 1000)
        case "zeros":
            write(killed, begin, bytes((ends[-1] - ends[-2]) * FRAME_BYTES))
        case _:
            write(killed, begin + 24, bytes(PAGE_BYTES))
    assert not holds_lost_commits(killed)


async def test_batches_whose_frames_are_all_gone_are_declared_with_their_samples(killed: Path) -> None:
    ends = [place for place, frame in enumerate(frames(killed)) if frame.commit]
    # From the eighth transaction on: of some batches nothing is left but the counters in later frames.
    begin, end = ends[7] + 1, ends[10] + 1
    write(killed, HEADER_BYTES + begin * FRAME_BYTES, bytes((end - begin) * FRAME_BYTES))
    declared = await assert_all_there(killed, lost_at_most=8)
    assert sum(declared.values()) == sum(n_of(seq) for seq in declared)


async def test_the_last_batches_are_declared_with_what_the_counters_say(killed: Path) -> None:
    connection = connect(killed, MAX_BYTES)
    connection.execute("UPDATE batch SET body = x'00' WHERE seq > ?", (ROWS - 3,))
    connection.close()
    salvaged = salvage.salvage(killed, MAX_BYTES)
    assert [head.seq for head in salvaged.gone] == [ROWS - 2, ROWS - 1, ROWS]
    assert sum(head.n for head in salvaged.gone) == sum(n_of(seq) for seq in range(ROWS - 2, ROWS + 1))


async def test_clock_maps_of_boots_are_saved_too(killed: Path) -> None:
    write(killed, 16, bytes(8))
    store = outbox(killed)
    await store.open()
    sent, _ = await everything(store)
    assert {row.clock for row in sent} == {KNOWN}
    await store.close()


# --- damage beside the batches


def mended(path: Path) -> tuple[sqlite3.Connection, Mended]:
    return connect_sound(path, MAX_BYTES)


def damage(path: Path, sql: str) -> None:
    connection = connect(path, MAX_BYTES)
    connection.execute(sql)
    connection.close()


async def test_a_batch_that_only_seems_delivered_is_sent_again(killed: Path) -> None:
    damage(killed, f"UPDATE batch SET state = {DELIVERED}, settled_ns = 1 WHERE seq = 9")
    connection, told = mended(killed)
    assert told.unsettled == 1
    assert 9 in [head.seq for head in SqliteRows(connection, 0).pending(0, 100)]
    connection.close()
    connection, told = mended(killed)
    assert told == Mended(0, 0, 0)
    connection.close()


async def test_a_damaged_clock_map_is_forgotten_and_never_used(killed: Path) -> None:
    damage(killed, "UPDATE seen_boot SET wall_ns = wall_ns + 1")
    connection = connect(killed, MAX_BYTES)
    assert SqliteRows(connection, 0).boot_clock(BOOT) is None
    connection.close()
    connection, told = mended(killed)
    assert told == Mended(0, 1, 0)
    SqliteRows(connection, 0).note_boot(BOOT, KNOWN)
    assert SqliteRows(connection, 0).boot_clock(BOOT) == KNOWN
    connection.close()


async def test_what_is_mended_is_told_once(killed: Path) -> None:
    damage(killed, "UPDATE seen_boot SET err_ms = err_ms + 1")
    told: list[Mended] = []
    for _ in range(2):
        store = outbox(killed, on_mend=told.append, on_salvage=pytest.fail)
        await store.open()
        await store.close()
    assert told == [Mended(0, 1, 0)]


async def test_a_damaged_sum_gives_nothing_up(killed: Path) -> None:
    connection = connect(killed, MAX_BYTES)
    before = SqliteRows(connection, 0).used_bytes(), SqliteRows(connection, 0).delivered_bytes()
    connection.close()
    damage(killed, "UPDATE tally SET value = value + 1000000000000")
    connection, told = mended(killed)
    assert told == Mended(0, 0, 2)
    assert (SqliteRows(connection, 0).used_bytes(), SqliteRows(connection, 0).delivered_bytes()) == before
    connection.close()


async def test_a_damaged_epoch_is_told_anew_from_its_batches(killed: Path) -> None:
    damage(killed, "UPDATE epoch SET accepted = accepted + 1000000")
    declared = await assert_all_there(killed, lost_at_most=0)
    assert declared == {}


async def test_what_a_tombstone_stands_for_is_under_its_hash(killed: Path) -> None:
    damage(killed, "UPDATE batch SET stands_seq = 4 WHERE seq = 7")
    store = outbox(killed)
    await store.open()
    assert (await store.load([7])).corrupt == [7]
    await store.close()


# --- crashes while an outbox is being saved


class CrashError(Exception):
    """Stands for the end of the process."""


STEPS = 45
"""More than saving takes."""


@pytest.mark.parametrize("dies_at", range(STEPS + 1))
async def test_a_crash_at_any_step_of_saving_loses_nothing(
    killed: Path, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(killed, HEADER_BYTES + last_of(killed, 5) * FRAME_BYTES + 24, bytes(PAGE_BYTES))
    steps = 0

    def stepping(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps > dies_at:
                raise CrashError
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", stepping(os.link))
        patched.setattr(os, "fsync", stepping(os.fsync))
        for name in ("replace", "unlink", "write_bytes"):
            patched.setattr(Path, name, stepping(getattr(Path, name)))
        try:
            salvage.salvage(killed, MAX_BYTES)
        except CrashError:
            assert dies_at < STEPS
    store = outbox(killed)
    await store.open()
    sent, declared = await everything(store)
    await store.close()
    assert {row.seq for row in sent} | set(declared) >= set(range(DELIVERED_UPTO + 1, ROWS + 1))
    assert len(declared) <= 5
    assert killed.with_suffix(".damaged").exists()
    assert not killed.with_suffix(".salvaged").exists()
