"""Random damage to the write-ahead log and the file: nothing wrong is sent, no number is given out twice."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wayside_edge.errors import OutboxError
from wayside_edge.outbox.wal import PAGE_BYTES
from wayside_edge.ports import ClosedBatch
from wayside_testkit.killed import BOOT, CLOCK, DELIVERED_UPTO, ROWS, body_of, everything, leave_killed, n_of, outbox

SECTOR_BYTES = 512
FRAME_BYTES = 24 + PAGE_BYTES
Damage = tuple[int, int, bytes]
"""Where, how many bytes, and what to combine with them by exclusive or; with nothing they become zero."""


@cache
def killed() -> tuple[bytes, bytes, bytes]:
    """The file, its log, and the epoch."""
    with tempfile.TemporaryDirectory() as folder:
        path = asyncio.run(leave_killed(Path(folder)))
        file, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()

        async def epoch() -> bytes:
            store = outbox(path)
            found = (await store.open()).epoch.epoch
            await store.close()
            return found

        return file, log, asyncio.run(epoch())


def hurt(content: bytes, damages: list[Damage]) -> bytes:
    hurt = bytearray(content)
    for at, size, mask in damages:
        begin = at % len(hurt)
        for place in range(begin, min(begin + size, len(hurt))):
            hurt[place] = hurt[place] ^ mask[(place - begin) % len(mask)] if mask else 0
    return bytes(hurt)


sectors = st.builds(
    lambda sector, mask: (sector * SECTOR_BYTES, SECTOR_BYTES, mask),
    st.one_of(st.integers(0, 9), st.integers(0, 2000)),
    st.sampled_from([b"", b"\xff", b"\x01\x80\x17"]),
)
bits = st.builds(
    lambda at, bit: (at, 1, bytes([1 << bit])),
    st.one_of(st.integers(0, 60), st.integers(0, 1 << 20)),
    st.integers(0, 7),
)
frame_heads = st.builds(lambda frame: (32 + frame * FRAME_BYTES, 24, b""), st.integers(0, 60))
log_damages = st.lists(st.one_of(sectors, bits, frame_heads), min_size=1, max_size=4)
file_damages = st.lists(st.one_of(sectors, bits), max_size=3)


async def recovered(path: Path, epoch: bytes, *, whole_file: bool) -> None:
    failed = 0
    while True:
        store = outbox(path)
        try:
            await store.open()
            sent, declared = await everything(store)
            state = (await store.status()).epoch
            appended = await store.append(ClosedBatch(1, b"new", BOOT, CLOCK))
            break
        except OutboxError:
            failed += 1
            assert failed < 3, "it goes on by itself"
        finally:
            await store.close()
    old = [row for row in sent if row.epoch == epoch]
    assert all(row.body == body_of(row.seq) and row.n == n_of(row.seq) for row in old)
    assert {row.seq for row in old}.isdisjoint(declared)
    assert state.epoch != epoch or min(appended.added) > ROWS, "a number is given out twice"
    if whole_file and state.epoch == epoch:
        assert {row.seq for row in old} | set(declared) >= set(range(DELIVERED_UPTO + 1, ROWS + 1))


@settings(max_examples=60, deadline=None)
@given(log_damages, file_damages)
@example([(0, SECTOR_BYTES, b"")], [])
@example([(8, 1, b"\x01"), (40, 1, b"\x01")], [])
@example([(0, 1 << 30, b"")], [])
@example([(0, SECTOR_BYTES, b"")], [(3072, SECTOR_BYTES, b"\xff")])
@example([(0, SECTOR_BYTES, b"")], [(0, 1 << 30, b"")])
def test_no_damage_gives_a_number_out_twice(on_log: list[Damage], on_file: list[Damage]) -> None:
    file, log, epoch = killed()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        path.write_bytes(hurt(file, on_file))
        Path(f"{path}-wal").write_bytes(hurt(log, on_log))
        asyncio.run(recovered(path, epoch, whole_file=not on_file))
