"""From what a chip says to what is true: offset, scale, polynomial or table, and another unit."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from math import ceil, isfinite, log10

from wayside_edge.pipeline.settings import ReadingSettings
from wayside_edge.pipeline.units import conversion
from wayside_edge.ports import Reading
from wayside_shared.quality import Quality
from wayside_shared.values import MAX_DECIMALS


class Calibration:
    """Corrects the readings of one series.

    The correction is made in the chip's unit: `scale * x + offset` of a plain one, of a polynomial, or of a table that
    is followed in straight lines and, beyond its ends, along its last ones.

    Args:
        settings: the correction.
    """

    def __init__(self, settings: ReadingSettings) -> None:
        self._settings = settings
        self._table = list(zip(settings.table_read, settings.table_true, strict=True))

    def apply(self, reading: Reading) -> Reading:
        """`reading` corrected, in the unit that is wanted; what is no number passes as it is.

        One that cannot be converted has no value: its number under another unit would be a wrong one.
        """
        value, unit = reading.value, self._settings.unit or reading.unit
        linear = conversion(reading.unit, unit)
        if isinstance(value, bool | str):
            return reading
        if linear is None or value is None:
            quality = reading.quality if value is None else Quality.INVALID
            return replace(reading, value=None, unit=unit, quality=quality)
        factor, offset = linear
        true = factor * self.corrected(float(value)) + offset
        if not isfinite(true):
            return replace(reading, value=None, unit=unit, quality=Quality.OUT_OF_RANGE)
        decimals = reading.decimals
        if decimals is not None:
            slope = (self.corrected(value + 1e-6) - self.corrected(float(value))) / 1e-6
            decimals = _decimals(decimals, factor * slope)
        return replace(reading, value=true, unit=unit, decimals=decimals)

    def corrected(self, value: float) -> float:
        """`value` in the chip's own unit, corrected."""
        settings = self._settings
        if settings.polynomial:
            value = _horner(settings.polynomial, value)
        elif self._table:
            value = _along(self._table, value)
        return settings.scale * value + settings.offset


def _horner(coefficients: Sequence[float], value: float) -> float:
    """The polynomial whose `coefficients` begin with the constant one."""
    result = 0.0
    for coefficient in reversed(coefficients):
        result = result * value + coefficient
    return result


def _along(table: Sequence[tuple[float, float]], value: float) -> float:
    at = min(max(bisect_right(table, (value, float("inf"))) - 1, 0), len(table) - 2)
    (x0, y0), (x1, y1) = table[at], table[at + 1]
    return y0 + (value - x0) * (y1 - y0) / (x1 - x0)


def _decimals(decimals: int, slope: float) -> int:
    """Digits after the point that still mean something once a step of 10**-decimals became `slope` times as large."""
    if not slope or not isfinite(slope):
        return decimals
    return min(max(ceil(decimals - log10(abs(slope)) - 1e-3), 0), MAX_DECIMALS)
