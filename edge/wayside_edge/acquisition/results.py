"""Readings on their way into a stage and out of it. Pure."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Final

from wayside_edge.compute.feed import BOOT, UTC, Item, Ready
from wayside_edge.compute.serving import StageError
from wayside_edge.ports import Reading
from wayside_shared.clock import EARLIEST_NS, LATEST_NS, NS_PER_S, NS_PER_US
from wayside_shared.errors import RejectedError
from wayside_shared.quality import Quality
from wayside_shared.stage_block import Block, decode_block
from wayside_shared.stage_worker import Done, Failure

REACH_NS: Final = 24 * 3600 * NS_PER_S
"""How far from what a stage was given the times of what it gives may lie: windows of up to a day."""

EVENT: Final = "event"
"""The reading that holds the texts of what happened."""


def items(sensor: str, readings: Sequence[Reading], stamp_ns: int, ended_ns: int) -> Iterator[Item]:
    """What there is of numbers in `readings`, as they are stored: text is for people, and what no
    batch takes is no reading.

    Args:
        sensor: its name.
        readings: of one read.
        stamp_ns: boot time that those carry which do not know theirs.
        ended_ns: boot time from which ages count.
    """
    for reading in readings:
        value = reading.value
        if isinstance(value, str) or (value is None and reading.quality.has_value):
            continue
        number = None if value is None or not reading.quality.has_value else float(value)
        if number is not None and not isfinite(number):
            continue
        if reading.time_ns is not None and not EARLIEST_NS <= reading.time_ns < LATEST_NS:
            continue
        if reading.decimals is not None and number is not None:
            number = round(number, reading.decimals)
        clock, time_ns = BOOT, stamp_ns
        if reading.time_ns is not None:
            clock, time_ns = UTC, reading.time_ns
        elif reading.age_ns:
            time_ns = (ended_ns - reading.age_ns) // NS_PER_US * NS_PER_US
        yield clock, f"{sensor}.{reading.name}", reading.unit, time_ns, number, int(reading.quality)


def given(done: Done, ready: Ready, most: int) -> Block:
    """The block in what a stage gave.

    Args:
        done: its answer.
        ready: what it had been given.
        most: readings that it may give.

    Raises:
        StageError: it is none, over its limit, or its times have nothing to do with what it was given.
    """
    if not done.block:
        return Block((), ())
    try:
        block = decode_block(done.block, max_readings=most)
    except RejectedError as error:
        raise StageError(Failure.OUTPUT, error.detail) from error
    for reading in block.readings:
        if not ready.first_ns - REACH_NS <= reading.time_ns <= ready.last_ns + REACH_NS:
            raise StageError(Failure.OUTPUT, "it gives times of more than a day before or after what it was given")
        try:
            Quality(reading.quality)
        except ValueError as error:
            raise StageError(Failure.OUTPUT, f"it gives a quality {reading.quality}, which there is not") from error
    return block


def made(block: Block, events: Sequence[str], ready: Ready, now_ns: int) -> tuple[list[Reading], int]:
    """A block and texts as readings, and the boot time from which their ages count: `now_ns` or a little later."""
    ended_ns = now_ns
    if ready.clock == BOOT:
        ended_ns = max([now_ns, ready.last_ns + 1, *(each.time_ns + 1 for each in block.readings)])
    readings = [
        _at(each.time_ns, ready, ended_ns, series.name, each.value, series.unit, Quality(each.quality))
        for each in block.readings
        for series in (block.series[each.series],)
    ]
    readings += [_at(ready.last_ns, ready, ended_ns, EVENT, event, "1") for event in events]
    return readings, ended_ns


def absent(known: Sequence[tuple[str, str]], ready: Ready, now_ns: int) -> tuple[list[Reading], int]:
    """For the series `known`, with their units: what there would be of `ready` is not there; as `made`."""
    ended_ns = max(now_ns, ready.last_ns + 1) if ready.clock == BOOT else now_ns
    why = Quality.NOT_READY
    return [_at(ready.last_ns, ready, ended_ns, name, None, unit, why) for name, unit in known], ended_ns


def _at(
    time_ns: int,
    ready: Ready,
    ended_ns: int,
    name: str,
    value: float | str | None,
    unit: str,
    quality: Quality = Quality.GOOD,
) -> Reading:
    number = value if quality.has_value else None
    if ready.clock == UTC:
        return Reading(name, number, unit, time_ns=time_ns, quality=quality)
    return Reading(name, number, unit, age_ns=ended_ns - time_ns, quality=quality)
