from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wayside_shared.ranges import Ranges

steps = st.lists(st.tuples(st.sampled_from(["add", "span", "discard"]), st.integers(0, 60), st.integers(0, 8)))


@given(steps)
def test_ranges_behave_as_a_set(moves: list[tuple[str, int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for move, value, length in moves:
        match move:
            case "add":
                ranges.add(value)
                model.add(value)
            case "span":
                ranges.add(value, value + length)
                model.update(range(value, value + length + 1))
            case _:
                ranges.discard(value)
                model.discard(value)
        assert list(ranges) == sorted(model)
        assert len(ranges) == len(model)
        pairs = ranges.pairs()
        assert all(a[1] + 1 < b[0] for a, b in pairwise(pairs)), "ranges that touch are one"
        assert ranges.next(value) == min((v for v in model if v >= value), default=None)
        assert (value in ranges) == (value in model)


@given(st.lists(st.integers(0, 50)))
def test_ranges_begin_with_any_integers(values: list[int]) -> None:
    assert list(Ranges(values)) == sorted(set(values))
