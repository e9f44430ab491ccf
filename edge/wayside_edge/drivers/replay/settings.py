"""Settings of a replay."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

from wayside_shared.settings import setting


class Times(Enum):
    """Which times the readings get."""

    RECORDED = "recorded"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class ReplayColumn:
    """One column that becomes a series."""

    column: str = setting("Its name in the first line of the file.", sample="Temperature")
    name: str = setting("Name of the series.", sample="temperature")
    unit: str = setting("UCUM code of its unit.", sample="Cel", pattern="[!-~]{1,32}")
    decimals: int | None = setting("Digits to round to; none keeps what is written.", None, minimum=0, maximum=9)


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Settings of a sensor of kind `replay`."""

    file: Path = setting("CSV file whose first line names the columns.", sample="recording.csv")
    time_column: str = setting("Name of the column that holds the time.", sample="date")
    columns: list[ReplayColumn] = setting("The columns to play, each a [[sensor.columns]].")
    time_format: str = setting(
        "How times are written: iso, unix_s, unix_ms, or a pattern of strptime such as %d.%m.%Y %H:%M.", "iso"
    )
    zone: str = setting("IANA time zone of times without one of their own, such as Europe/Brussels.", "UTC")
    times: Times = setting(
        "recorded: readings keep their times, and after a restart of the agent the recording goes on behind the last"
        " time that was accepted of each column, so its times should rise; rename the sensor to play all of it again."
        " now: each is taken as if measured when played.",
        Times.RECORDED,
    )
    speed: float = setting("How many times faster than recorded to play.", 1.0, minimum=0.001, maximum=1e9)
    loop: bool = setting("Begin again at the end; recorded times go on from where they ended.", False)

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("'columns' is empty: name at least one [[sensor.columns]]")
        try:
            ZoneInfo(self.zone)
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"zone = {self.zone!r}: no such time zone here; is tzdata installed?") from error
