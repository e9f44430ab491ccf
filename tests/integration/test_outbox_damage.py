"""A damaged outbox: never wrong data, what is gone is declared, the rest is delivered."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from wayside_edge.errors import OutboxError
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch, StoredBatch
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.session import Ack
from wayside_testkit.clock import ManualClock

ROWS, DELIVERED = 60, 20
CLOCK = ClockMap(5, 6, ClockState.SYNCED, 7)


def body(seq: int) -> bytes:
    return Random(seq).randbytes(200 + 90 * (seq % 40))


def outbox(path: Path, gone: list[int] | None = None) -> DurableOutbox:
    told = [] if gone is None else gone
    settings = OutboxSettings(path=path, free_disk_floor_mb=0, ballast_mb=0)
    return DurableOutbox(settings, ManualClock(), lambda seqs, _samples, _reason: told.extend(seqs))


@pytest.fixture
async def sound(tmp_path: Path) -> bytes:
    """A closed outbox with delivered and pending rows."""
    store = outbox(tmp_path / "sound.db")
    await store.open()
    for seq in range(1, ROWS + 1):
        await store.append(ClosedBatch(seq % 7 + 1, body(seq), b"boot-of-the-test", CLOCK))
    await store.settle(Ack((await store.status()).epoch.epoch, DELIVERED, [(1, DELIVERED)]))
    await store.close()
    return contents(tmp_path / "sound.db")


def contents(path: Path) -> bytes:
    return path.read_bytes()


async def read(path: Path) -> tuple[list[StoredBatch], set[int], list[int]]:
    """Everything that the outbox at `path` would send: batches, numbers it declares dropped, and what it told of."""
    told: list[int] = []
    store = outbox(path, told)
    await store.open()
    sent: dict[int, StoredBatch] = {}
    for _ in range(3):
        # Damage that shows only while it runs costs one error; the next call finds the file replaced.
        with suppress(OutboxError):
            for seq in sorted((await store.status()).pending):
                sent.update({row.seq: row for row in (await store.load([seq])).rows})
    await store.close()
    declared = {seq for row in sent.values() if row.n == 0 for seq in drops(row)}
    return [row for row in sent.values() if row.n], declared, told


def drops(row: StoredBatch) -> Sequence[int]:
    envelope = Envelope("dev-1", row.epoch, row.first_seq, row.seq, row.before, 0, row.boot_id, row.clock, None)
    found = decode_body(Message(envelope, row.body)).drops
    return [drop.first_seq + i for drop in found for i in range(len(drop.counts))]


async def check(damaged: Path, epoch: bytes, what: str) -> tuple[int, int]:
    """How many pending rows were saved and how many are declared; fails if any is neither, or is wrong."""
    sent, declared, _ = await read(damaged)
    wrong = [
        row.seq
        for row in sent
        if (row.body, row.n, row.epoch, row.first_seq, row.clock) != (body(row.seq), row.seq % 7 + 1, epoch, 1, CLOCK)
    ]
    assert not wrong, f"{what}: wrong data would be delivered for {wrong}"
    saved = {row.seq for row in sent}
    missing = set(range(DELIVERED + 1, ROWS + 1)) - saved - declared
    assert not missing, f"{what}: {sorted(missing)} are gone in silence"
    return len(saved), len(declared)


async def first_epoch(path: Path) -> bytes:
    store = outbox(path)
    status = await store.open()
    await store.close()
    return status.epoch.epoch


@pytest.mark.slow
async def test_flipped_bits_deliver_nothing_wrong_and_hide_nothing(sound: bytes, tmp_path: Path) -> None:
    epoch = await first_epoch(tmp_path / "sound.db")
    random = Random(13)
    declared = 0
    for flip in range(300):
        at, bit = random.randrange(len(sound)), random.randrange(8)
        folder = tmp_path / f"flip-{flip}"
        folder.mkdir()
        damaged = bytearray(sound)
        damaged[at] ^= 1 << bit
        (folder / "outbox.db").write_bytes(damaged)
        _, lost = await check(folder / "outbox.db", epoch, f"bit {bit} of byte {at}")
        declared += lost
        shutil.rmtree(folder)
    assert declared > 50, "flips that hit no row prove nothing"
    assert declared <= 300, "a flipped bit costs no more than the row it is in"


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.999])
async def test_a_truncated_file_gives_what_is_left(sound: bytes, tmp_path: Path, keep: float) -> None:
    epoch = await first_epoch(tmp_path / "sound.db")
    (tmp_path / "outbox.db").write_bytes(sound[: int(len(sound) * keep)])
    saved, _ = await check(tmp_path / "outbox.db", epoch, f"truncated to {keep}")
    assert saved >= ROWS * keep * 0.7 - DELIVERED


@pytest.mark.parametrize("page", [0, 1, 3, 7, 20, 40])
async def test_a_page_of_zeros_costs_no_more_than_its_own_rows(sound: bytes, tmp_path: Path, page: int) -> None:
    epoch = await first_epoch(tmp_path / "sound.db")
    damaged = bytearray(sound)
    damaged[page * 4096 : (page + 1) * 4096] = bytes(4096)
    (tmp_path / "outbox.db").write_bytes(damaged)
    await check(tmp_path / "outbox.db", epoch, f"page {page} zeroed")
    store = outbox(tmp_path / "outbox.db")
    await store.open()
    appended = await store.append(ClosedBatch(1, b"new", b"boot-of-the-test", CLOCK))
    assert appended.added[-1] > ROWS, "a number that was given out is never given again"
    await store.close()


async def test_a_file_that_was_never_checkpointed_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    running = outbox(tmp_path / "outbox.db")
    await running.open()
    for seq in range(1, 6):
        await running.append(ClosedBatch(seq % 7 + 1, body(seq), b"boot-of-the-test", CLOCK))
    # As a killed agent leaves it: everything but an empty first page stands in the write-ahead log.
    (tmp_path / "left").mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(tmp_path / f"outbox.db{suffix}", tmp_path / "left" / f"outbox.db{suffix}")
    await running.close()
    sent, declared, _ = await read(tmp_path / "left" / "outbox.db")
    assert (sorted(row.seq for row in sent), declared) == ([1, 2, 3, 4, 5], set())
    assert not (tmp_path / "left" / "outbox.damaged").exists()
