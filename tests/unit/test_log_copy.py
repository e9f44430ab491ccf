"""The copy of the log for the server: bounded, one message on its way, nothing lost in silence."""

import asyncio

from wayside_edge.health.copy import MESSAGE_LINES, RING_CHARACTERS, LogCopy
from wayside_edge.health.lines import Line
from wayside_edge.health.settings import SendLevel
from wayside_edge.ports import Outgoing
from wayside_shared.clock import NS_PER_S
from wayside_shared.device_log import LOG_CONTENT_TYPE, LogLine, decode_log
from wayside_testkit.clock import LiveClock


def line(number: int, text: str = "a line", level: int = 30, **fields: object) -> Line:
    return Line(number, 0, number * NS_PER_S, level, "wayside_edge.uplink", text, "Event" if fields else None, fields)


def copy(level: SendLevel = SendLevel.WARNING, most: int = 1_000) -> LogCopy:
    made = LogCopy("boiler-7", level, LiveClock(), most)
    made.began()
    return made


def told(message: Outgoing | None) -> list[LogLine]:
    assert message is not None
    return decode_log(message.payload)[1]


def taken(message: Outgoing | None) -> None:
    assert message is not None
    assert message.taken is not None
    message.taken()


def test_lines_from_the_level_on_go_out_once() -> None:
    made = copy()
    made.write(line(1, level=20))
    made.write(line(2, "two", cause="x"))
    message = made.next()
    assert message is not None
    assert message.topic == "wayside/1/boiler-7/log"
    assert message.content_type == LOG_CONTENT_TYPE
    (one,) = told(message)
    assert (one.number, one.level, one.text, one.event, one.data) == (2, "warning", "two", "Event", {"cause": "x"})
    assert one.at_ms is not None
    taken(message)
    assert made.next() is None


def test_off_keeps_nothing() -> None:
    made = copy(SendLevel.OFF)
    made.write(line(1, level=50))
    assert made.waiting == 0


def test_one_message_is_on_its_way_and_goes_again_in_the_next_session() -> None:
    made = copy()
    for number in range(MESSAGE_LINES + 5):
        made.write(line(number))
    first = made.next()
    assert made.next() is None
    made.began()
    again = made.next()
    assert [each.number for each in told(again)] == list(range(MESSAGE_LINES))
    taken(first)  # a late word of the old session means nothing
    assert made.next() is None
    taken(again)
    assert [each.number for each in told(made.next())] == list(range(MESSAGE_LINES, MESSAGE_LINES + 5))


def test_what_was_left_out_is_said_under_a_number_of_its_own() -> None:
    made = copy(most=10)
    for number in range(1, 61):
        made.write(line(number))
    first, *rest = told(made.next())
    assert first.text == "50 lines left out of this copy: the link was away or busy"
    assert first.number == 50
    assert [each.number for each in rest] == list(range(51, 61))


def test_long_lines_are_bounded_too_and_every_message_can_be_read() -> None:
    made = copy()
    for number in range(500):
        made.write(line(number, "\x01" * 8_192, cause="\0\ud800" * 4_000))
    assert sum(each.size for each in made._ring) <= RING_CHARACTERS
    while (message := made.next()) is not None:
        assert told(message)
        taken(message)


async def test_the_uplink_is_nudged_from_any_thread() -> None:
    made, nudged = copy(), asyncio.Event()
    made.attach(nudged.set)
    await asyncio.to_thread(made.write, line(1))
    async with asyncio.timeout(10):
        await nudged.wait()
