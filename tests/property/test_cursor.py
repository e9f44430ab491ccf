import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_server.domain.cursor import CursorError, decode_cursor, encode_cursor

numbers = st.integers(-(1 << 63), (1 << 63) - 1)


@given(numbers, st.text(), st.text())
def test_a_cursor_returns_its_place(number: int, text: str, question: str) -> None:
    assert decode_cursor(encode_cursor([number, text], question), question, int, str) == [number, text]


@given(numbers, st.text(), st.text())
def test_a_cursor_of_another_question_is_refused(number: int, question: str, other: str) -> None:
    cursor = encode_cursor([number], question + "1" + other)
    with pytest.raises(CursorError):
        decode_cursor(cursor, question + "2" + other, int)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    with pytest.raises(CursorError):
        decode_cursor(text, "question", int)


@given(st.text(alphabet="ABCDEFabcdef012345-_", min_size=1))
def test_a_changed_cursor_raises_nothing_else(text: str) -> None:
    try:
        decode_cursor(encode_cursor([1], "q")[:12] + text, "q", int)
    except CursorError:
        return
