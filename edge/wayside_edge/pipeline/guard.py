"""Holds readings to what their chip can measure."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import isfinite

from wayside_edge.ports import Burst, Bursts, Quantity, Reading
from wayside_shared.quality import Quality


class Guard:
    """Takes the value from readings that cannot be measurements: beyond the chip's range, or not finite.

    Args:
        quantities: what the driver can give, with its bounds; readings that none of them names pass.
    """

    def __init__(self, quantities: Sequence[Quantity]) -> None:
        self._quantities = quantities
        self._bounds: dict[str, tuple[float, float] | None] = {}

    def check(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """`readings`, where those out of range have no value but the quality that says so."""
        if not self._quantities or self._all_fit(readings):
            return readings
        return [
            reading if self._fits(reading) else replace(reading, value=None, quality=Quality.OUT_OF_RANGE)
            for reading in readings
        ]

    def _all_fit(self, readings: Sequence[Reading]) -> bool:
        if isinstance(readings, Bursts):
            return all(map(self._burst_fits, readings.bursts)) and all(map(self._fits, readings.rest))
        return all(map(self._fits, readings))

    def _burst_fits(self, burst: Burst) -> bool:
        return burst.finite and all(self._within(burst.name, end(burst.values)) for end in (min, max) if burst.values)

    def _fits(self, reading: Reading) -> bool:
        value = reading.value
        if type(value) is not float and type(value) is not int:
            return True
        return self._within(reading.name, value)

    def _within(self, name: str, value: float) -> bool:
        if name not in self._bounds:
            self._bounds[name] = self._find(name)
        bounds = self._bounds[name]
        return bounds is None or (isfinite(value) and bounds[0] <= value <= bounds[1])

    def _find(self, name: str) -> tuple[float, float] | None:
        for quantity in self._quantities:
            if fnmatchcase(name, quantity.name):
                return quantity.low, quantity.high
        return None
