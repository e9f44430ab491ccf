"""Settings of the batcher, and of what happens to readings before."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import fsum

from wayside_edge.pipeline.units import convertible
from wayside_shared.batch import MAX_SAMPLES
from wayside_shared.errors import RejectedError
from wayside_shared.settings import setting, suggestion
from wayside_shared.units import check_unit


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """`[batch]`: a batch closes as soon as one of these is reached."""

    max_age_s: float = setting(
        "Age of its first sample in seconds: what a power cut may cost, and the delay before it is sent.",
        10.0,
        minimum=0.05,
        maximum=3600.0,
    )
    max_samples: int = setting("Samples in one batch.", 500, minimum=1, maximum=MAX_SAMPLES // 2)
    max_bytes: int = setting("Bytes in one batch before it is deflated.", 64 * 1024, minimum=1024, maximum=192 * 1024)


class Statistic(Enum):
    """What can be sent of a window."""

    MIN = "min"
    MAX = "max"
    MEAN = "mean"

    def of(self, numbers: Sequence[float]) -> float:
        """The statistic of `numbers`, of which there is at least one."""
        if self is Statistic.MEAN:
            return fsum(number / len(numbers) for number in numbers)  # a sum first could overflow
        return min(numbers) if self is Statistic.MIN else max(numbers)


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """`[[sensor.reading]]`: what to do with readings before they are sent."""

    name: str = setting("Reading of the sensor, or a pattern such as acceleration_*.", sample="cpu_temperature")
    offset: float = setting("Added to what the chip says, in its own unit, after the scale.", 0.0)
    scale: float = setting("Factor on what the chip says, or on the polynomial or table of it.", 1.0)
    polynomial: list[float] = setting("Coefficients of a correction, the constant one first.", factory=list)
    table_read: list[float] = setting("What the chip says at the points of a correction table, rising.", factory=list)
    table_true: list[float] = setting("What is true at those points.", factory=list)
    unit: str | None = setting("UCUM code of the unit to convert to, such as [degF]; none keeps the chip's.", None)
    window_s: float | None = setting(
        "Length of windows of which statistics are sent in place of the samples, in seconds.",
        None,
        minimum=0.01,
        maximum=86_400.0,
    )
    statistics: list[Statistic] = setting(
        "What is sent of a window, as series <reading>_min, _max and _mean.",
        factory=lambda: [Statistic.MIN, Statistic.MEAN, Statistic.MAX],
    )
    deadband: float | None = setting(
        "Send only what differs by more than this from what was sent before; 0 sends every change.", None, minimum=0.0
    )
    heartbeat_s: float = setting(
        "With a deadband, send at least this often all the same, in seconds.", 3600.0, minimum=0.01, maximum=86_400.0
    )

    def __post_init__(self) -> None:
        if len(self.table_read) != len(self.table_true) or len(self.table_read) == 1:
            raise ValueError("table_read and table_true must have as many points, two at least")
        if not all(a < b for a, b in pairwise(self.table_read)):
            raise ValueError("table_read must rise from point to point")
        if self.table_read and self.polynomial:
            raise ValueError("a correction is a polynomial or a table, not both")
        if not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ValueError("statistics must name at least one, each once")
        if self.unit is not None:
            try:
                check_unit(self.unit)
            except RejectedError as error:
                raise ValueError(error.detail) from error
            if self.unit not in convertible():
                known = suggestion(self.unit, convertible())
                raise ValueError(f"unit = {self.unit!r}: no conversion to it is known{known}")
