"""The air around a simulated chip: weather made from a seed, or a recording."""

import csv
import random
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, floor, pi
from pathlib import Path
from typing import TypeAlias

from wayside_shared.settings import setting

DAY_S = 86_400.0
KEPT_POINTS = 64
"""Points of a weather that are kept: seeding a generator for one takes longer than all the rest of a measurement."""


@dataclass(frozen=True, slots=True)
class State:
    """The air at one moment.

    Args:
        celsius: temperature.
        pascal: absolute pressure.
        percent: relative humidity, 0 to 100.
    """

    celsius: float
    pascal: float
    percent: float


Air: TypeAlias = Callable[[float], State]
"""The state of the air at a time in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Place:
    """How the air of a place follows the day and the weather.

    Args:
        celsius: mean temperature.
        daily: half of what it changes in a day.
        drift: how far the weather moves it, in kelvin.
        percent: mean relative humidity.
        damping: percent of relative humidity lost for each kelvin above the mean.
    """

    celsius: float
    daily: float
    drift: float
    percent: float
    damping: float


PLACES: Mapping[str, Place] = {
    "outdoors": Place(celsius=11.0, daily=5.0, drift=4.0, percent=74.0, damping=3.0),
    "greenhouse": Place(celsius=22.0, daily=5.5, drift=1.5, percent=70.0, damping=2.5),
    "office": Place(celsius=21.5, daily=1.2, drift=0.6, percent=42.0, damping=2.0),
    "workshop": Place(celsius=18.0, daily=3.0, drift=2.0, percent=50.0, damping=2.0),
    "cold-store": Place(celsius=4.0, daily=0.4, drift=0.3, percent=85.0, damping=4.0),
}


class Weather:
    """Weather of a place: the same seed, place and time give the same air.

    Args:
        place: where.
        seed: chooses the weather.
    """

    def __init__(self, place: Place, seed: int) -> None:
        self._place = place
        self._seed = seed
        self._points: dict[tuple[str, int], float] = {}

    def __call__(self, at_s: float) -> State:
        """The state of the air at `at_s` seconds since 1970."""
        place = self._place
        # Warmest in mid-afternoon; fronts pass in days, clouds in minutes.
        day = -cos(2 * pi * (at_s / DAY_S - 3.0 / 24.0))
        warmth = place.daily * day + place.drift * self._walk("front", at_s, 3 * DAY_S)
        warmth += 0.06 * place.daily * self._walk("cloud", at_s, 900.0)
        pascal = 101_325.0 + 1500.0 * self._walk("pressure", at_s, 2 * DAY_S) + 60.0 * self._walk("gust", at_s, 3600.0)
        percent = place.percent - place.damping * warmth + 4.0 * self._walk("damp", at_s, 6 * 3600.0)
        return State(place.celsius + warmth, pascal, min(max(percent, 2.0), 98.0))

    def _walk(self, name: str, at_s: float, step_s: float) -> float:
        """A smooth wander between -1 and 1 through one random point each `step_s` seconds."""
        position = at_s / step_s
        index = floor(position)
        share = (1.0 - cos(pi * (position - index))) / 2.0
        return self._point(name, index) * (1.0 - share) + self._point(name, index + 1) * share

    def _point(self, name: str, index: int) -> float:
        if (name, index) not in self._points:
            if len(self._points) >= KEPT_POINTS:
                self._points.clear()
            self._points[name, index] = random.Random(f"{self._seed}/{name}/{index}").uniform(-1.0, 1.0)  # noqa: S311
        return self._points[name, index]


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """A CSV file that takes the place of the weather."""

    file: Path = setting("CSV file whose first line names the columns.", sample="recording.csv")
    temperature: str = setting("Column of the temperature in °C; empty for none.", "")
    pressure: str = setting("Column of the pressure in hPa; empty for none.", "")
    humidity: str = setting("Column of the relative humidity in %; empty for none.", "")
    step_s: float = setting("Seconds from one row to the next.", 60.0, minimum=0.001)


class RecordedAir:
    """Air from a recorded CSV file, a row each so many seconds, over and over; what it lacks stays as in an office.

    Args:
        columns: the file and its columns: °C, hPa and %.

    Raises:
        OSError: the file cannot be read.
        ValueError: a column is missing, or nothing in it is a number.
    """

    def __init__(self, columns: RecordingSettings) -> None:
        self._step_s = columns.step_s
        with columns.file.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = list(reader)
        self._celsius = _column(rows, header, columns.temperature, 21.5)
        self._hectopascal = _column(rows, header, columns.pressure, 1013.25)
        self._percent = _column(rows, header, columns.humidity, 42.0)

    def __call__(self, at_s: float) -> State:
        """The state of the air at `at_s` seconds since 1970."""
        row = floor(at_s / self._step_s)
        celsius, hectopascal, percent = (
            series[row % len(series)] for series in (self._celsius, self._hectopascal, self._percent)
        )
        return State(celsius, hectopascal * 100.0, min(max(percent, 0.0), 100.0))


def _column(rows: list[list[str]], header: list[str], name: str, otherwise: float) -> "array[float]":
    if not name:
        return array("d", [otherwise])
    if name not in header:
        raise ValueError(f"no column {name!r}; there are {', '.join(header)[:200]}")
    # R writes a row number first and gives that column no name.
    at = header.index(name) - len(header)
    return array("d", [float(row[at]) for row in rows if len(row) >= len(header) and row[at]]) or array(
        "d", [otherwise]
    )
