"""Lines of log: what goes in comes out, and no bytes do more than be refused."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from wayside_shared.device_log import LEVELS, LogLine, decode_log, encode_log
from wayside_shared.errors import RejectedError
from wayside_shared.text import to_json

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200)
NAME = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXT, lambda inner: st.lists(inner, max_size=3))
LINES = st.builds(
    LogLine,
    st.integers(0, 1 << 53).filter(lambda number: number < 1 << 53),
    st.none() | st.integers(1_000_000_000_000, 2_000_000_000_000),
    st.sampled_from(sorted(LEVELS)),
    NAME,
    TEXT,
    st.none() | NAME,
    st.dictionaries(NAME, TEXT, max_size=3),
)


@given(st.lists(LINES, max_size=5))
def test_what_is_encoded_is_decoded(lines: list[LogLine]) -> None:
    assert decode_log(encode_log("00ff" * 4, lines)) == ("00ff" * 4, lines)


@given(st.binary(max_size=300) | JSON.map(lambda value: to_json({"run": "0" * 16, "lines": [value]}).encode()))
def test_anything_else_is_refused(payload: bytes) -> None:
    with suppress(RejectedError):
        decode_log(payload)
