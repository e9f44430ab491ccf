"""Holds readings to what their chip can measure."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import isfinite

from wayside_edge.ports import Quantity, Reading
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
        if not self._quantities or all(map(self._fits, readings)):
            return readings
        return [
            reading if self._fits(reading) else replace(reading, value=None, quality=Quality.OUT_OF_RANGE)
            for reading in readings
        ]

    def _fits(self, reading: Reading) -> bool:
        value = reading.value
        if type(value) is not float and type(value) is not int:
            return True
        if reading.name not in self._bounds:
            self._bounds[reading.name] = self._find(reading.name)
        bounds = self._bounds[reading.name]
        return bounds is None or (isfinite(value) and bounds[0] <= value <= bounds[1])

    def _find(self, name: str) -> tuple[float, float] | None:
        for quantity in self._quantities:
            if fnmatchcase(name, quantity.name):
                return quantity.low, quantity.high
        return None
