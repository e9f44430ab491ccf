"""A burst comes to the same samples as its readings one by one."""

from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.guard import Guard
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import Burst, Bursts, ClosedBatch, Quantity, Reading
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.quality import Quality

NOW = ClockMap(10**12, 17 * 10**17, ClockState.SYNCED)
SETTINGS = BatchSettings(max_samples=10_000, max_bytes=192 * 1024)


@st.composite
def reads(draw: st.DrawFn) -> Bursts:
    count = draw(st.integers(0, 20))
    places = st.dictionaries(st.integers(0, count - 1), st.sampled_from(Quality), max_size=3)
    bursts = [
        Burst(
            name,
            draw(st.lists(st.floats(-1e6, 1e6), min_size=count, max_size=count)),
            draw(st.sampled_from(["m/s2", "1"])),
            draw(st.integers(1, 10**10)),
            draw(st.integers(1, 10**10)),
            draw(st.integers(0, 6)),
            {at: q for at, q in draw(places).items() if q.has_value and q is not Quality.GOOD} if count else {},
        )
        for name in draw(st.lists(st.sampled_from("xyz"), unique=True, max_size=3))
    ]
    rest = draw(st.lists(st.builds(Reading, st.just("t"), st.floats(-50, 50), st.just("Cel")), max_size=2))
    return Bursts(bursts, rest)


def batched(given_reads: list[Bursts], *, whole: bool) -> list[str]:
    """The columns of all batches, decoded; their order says nothing."""
    batcher = Batcher(SETTINGS, bytes(16))
    guard = Guard([Quantity("?", "", -1e6, 1e6), Quantity("t", "Cel", -50.0, 50.0)])
    for place, read in enumerate(given_reads):
        readings = guard.check(read if whole else list(read))
        began_ns = 10**12 + place * 3 * 10**11
        assert batcher.add("s", readings, began_ns, 10**9, ended_ns=began_ns + 12_345_678) == []
    return sorted(column for batch in batcher.take(NOW, everything=True) for column in columns(batch))


def columns(batch: ClosedBatch) -> list[str]:
    envelope = Envelope("board-1", b"e" * 16, 1, 1, 0, batch.n, batch.boot_id, batch.clock, None)
    blocks = decode_body(Message(envelope, batch.body)).blocks
    return [
        f"{block.name} {block.unit} {block.times_us.tolist()} "
        f"{None if block.numbers is None else block.numbers.tolist()} "
        f"{None if block.qualities is None else block.qualities.tolist()}"
        for block in blocks
    ]


@given(st.lists(reads(), max_size=4))
def test_comes_to_the_same_samples(given_reads: list[Bursts]) -> None:
    assert batched(given_reads, whole=True) == batched(given_reads, whole=False)
