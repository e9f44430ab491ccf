"""Holds what drivers give to what they may give: anybody may write one."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, Final

from wayside_edge.errors import SensorError
from wayside_edge.ports import Bursts, Reading
from wayside_shared.quality import Quality

_PLAIN: Final = frozenset({float, int, bool, str, type(None)})
_INT64: Final = 1 << 63


def sound(result: Any) -> Sequence[Reading]:
    """The readings in what `read` returned: numbers as plain ones, integers beyond 64 bits without their value.

    Raises:
        SensorError: it is no sequence of readings, or a value is of another type.
    """
    if isinstance(result, Bursts):
        return result
    if isinstance(result, str | bytes) or not isinstance(result, Sequence):
        raise SensorError(f"its driver has a mistake: read gave a {type(result).__name__} and not a list of readings")
    if all(type(each) is Reading and type(each.value) in _PLAIN and type(each.value) is not int for each in result):
        return result
    return [_sound(each) for each in result]


def checked_pause(pause_s: Any) -> float:
    """The pause that a driver asked for, in seconds.

    Raises:
        SensorError: it is none.
    """
    if isinstance(pause_s, bool) or not isinstance(pause_s, int | float) or not isfinite(pause_s) or pause_s < 0:
        raise SensorError(f"its driver has a mistake: {pause_s!r} is no pause in seconds")
    return float(pause_s)


def _sound(reading: Any) -> Reading:
    if not isinstance(reading, Reading):
        raise SensorError(f"its driver has a mistake: it gave a {type(reading).__name__} among its readings")
    value = reading.value
    if type(value) is int and not -_INT64 <= value < _INT64:
        return replace(reading, value=None, quality=Quality.OUT_OF_RANGE)
    if type(value) in _PLAIN:
        return reading
    if isinstance(value, float):
        return replace(reading, value=float(value))
    if isinstance(value, int):
        return replace(reading, value=int(value))
    raise SensorError(f"its driver has a mistake: {reading.name} is a {type(value).__name__}")
