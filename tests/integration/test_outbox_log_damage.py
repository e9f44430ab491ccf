"""A damaged write-ahead log, damage beside the batches, and crashes while an outbox is being saved."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge.outbox import salvage
from wayside_edge.outbox.schema import DELIVERED
from wayside_edge.outbox.soundness import Mended, connect_sound
from wayside_edge.outbox.sqlite import SqliteRows, connect
from wayside_edge.outbox.wal import PAGE_BYTES, Frame, holds_lost_commits, read_log
from wayside_edge.ports import ClosedBatch
from wayside_testkit.killed import (
    BOOT,
    CHECKPOINTED,
    CLOCK,
    DELIVERED_UPTO,
    KNOWN,
    ROWS,
    body_of,
    everything,
    leave_killed,
    n_of,
    outbox,
)

HEADER_BYTES, FRAME_BYTES = 32, 24 + PAGE_BYTES
MAX_BYTES = 1 << 26


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    return await leave_killed(tmp_path)


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


async def assert_all_there(path: Path, *, lost_at_most: int) -> dict[int, int]:
    """Every batch that was pending is delivered as it was, or declared; returns what is declared."""
    salvaged: list[salvage.Salvaged] = []
    store = outbox(path, on_salvage=salvaged.append)
    await store.open()
    sent, declared = await everything(store)
    status = await store.status()
    await store.close()
    assert len(salvaged) == 1
    assert all(row.body == body_of(row.seq) and row.n == n_of(row.seq) for row in sent)
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


@pytest.mark.parametrize(
    "damages",
    [
        pytest.param({0: bytes(512)}, id="the first sector"),
        pytest.param({8: b"\xff", HEADER_BYTES + 8: b"\xff"}, id="the header and the salts of the first frame"),
        pytest.param({0: bytes(HEADER_BYTES + FRAME_BYTES + 24)}, id="the first frame and the head of the second"),
    ],
)
async def test_the_frames_tell_what_use_of_the_log_they_are_of(killed: Path, damages: dict[int, bytes]) -> None:
    for at, data in damages.items():
        write(killed, at, data)
    assert holds_lost_commits(killed)
    await assert_all_there(killed, lost_at_most=0)


async def test_a_header_whose_write_the_disk_has_lost_hides_nothing(killed: Path) -> None:
    connection = connect(killed, MAX_BYTES)
    connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
    before = bytes_of(Path(f"{killed}-wal"))[:512]
    epoch = SqliteRows(connection, 0).current().epoch
    for seq in range(ROWS + 1, ROWS + 4):
        connection.execute("BEGIN IMMEDIATE")
        SqliteRows(connection, 0).insert(ClosedBatch(n_of(seq), body_of(seq), BOOT, CLOCK))
        connection.execute("COMMIT")
    contents = {path: bytes_of(path) for path in (killed, Path(f"{killed}-wal"))}
    connection.close()
    restore(contents)
    assert read_log(killed).sound
    write(killed, 0, before)
    assert not read_log(killed).sound
    store = outbox(killed)
    assert (await store.open()).epoch.epoch != epoch
    assert [row.seq for row in (await everything(store))[0]] == list(range(DELIVERED_UPTO + 1, ROWS + 4))
    await store.close()


@pytest.mark.parametrize("missing", [False, True])
async def test_a_log_beside_an_empty_file_is_not_deleted(killed: Path, missing: bool) -> None:
    if missing:
        shutil.move(killed, f"{killed}.away")
    else:
        os.truncate(killed, 0)
    await assert_all_there(killed, lost_at_most=CHECKPOINTED)


async def test_a_log_of_which_nothing_is_left_begins_another_epoch(killed: Path) -> None:
    write(killed, 0, bytes(len(bytes_of(Path(f"{killed}-wal")))))
    epochs = []
    for _ in range(2):
        store = outbox(killed)
        epochs.append((await store.open()).epoch.epoch)
        old = {row.epoch for row in (await everything(store))[0]}
        await store.close()
    assert epochs[0] not in old
    assert epochs[0] == epochs[1], "it is saved once"


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


STEPS = 75
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
