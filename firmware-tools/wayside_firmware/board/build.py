"""A board from the settings of a bus of kind `simulated`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wayside_firmware.board.air import PLACES, Air, RecordedAir, RecordingSettings, Weather
from wayside_firmware.board.bme280 import Bme280Chip, trimming
from wayside_firmware.board.bus import Chip, SimulatedBus
from wayside_shared.errors import ConfigError
from wayside_shared.settings import Table, from_table, setting


@dataclass(frozen=True, slots=True)
class ChipSettings:
    """One chip."""

    model: str = setting("What it is.", sample="bme280", choices=("bme280",))
    address: int = setting("Its I2C address.", 0x76, minimum=0x08, maximum=0x77)
    place: str = setting("Where it is.", "office", choices=tuple(PLACES))
    seed: int = setting("Chooses its weather, calibration and noise; 0 has the calibration of the data sheet.", 1)
    noise: float = setting("Share of a real chip's noise.", 1.0, minimum=0.0, maximum=100.0)
    recording: RecordingSettings | None = setting("A recording instead of the weather.", None)


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Settings of a bus of kind `simulated`."""

    chips: list[ChipSettings] = setting("The chips on the bus.")
    hurry: float = setting("How many times faster than real the weather changes.", 1.0, minimum=0.0, maximum=1e6)
    faults_file: Path | None = setting(
        "File that breaks chips while it says so: lines such as '0x76 absent', or nack, stuck, wrong_identity.", None
    )

    def __post_init__(self) -> None:
        addresses = [chip.address for chip in self.chips]
        twice = next((address for address in addresses if addresses.count(address) > 1), None)
        if twice is not None:
            raise ValueError(f"two chips have the address 0x{twice:02x}")


class BoardKind:
    """The bus kind `simulated`, as the agent finds it among the entry points `wayside.buses`."""

    settings = BoardSettings

    def __call__(self, settings: Mapping[str, object]) -> SimulatedBus:
        """The bus that a configuration's `[[bus]]` table describes.

        Raises:
            ConfigError: a setting is wrong, or two chips have one address.
            OSError: a recording cannot be read.
        """
        return build(from_table(BoardSettings, Table(settings)))


open_bus = BoardKind()


def build(
    board: BoardSettings, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
) -> SimulatedBus:
    """A bus with the chips of `board`.

    Args:
        board: what is on it.
        clock: seconds, for the time that measurements take.
        wall: seconds since 1970, for the weather.

    Raises:
        ConfigError: a recording lacks a column.
        OSError: a recording cannot be read.
    """
    chips: dict[int, Chip] = {}
    begin_s = wall()
    for chip in board.chips:
        chips[chip.address] = Bme280Chip(
            _air(chip),
            trimming(chip.seed),
            noise=chip.noise,
            seed=chip.seed,
            clock=clock,
            wall=lambda: begin_s + (wall() - begin_s) * board.hurry,
        )
    return SimulatedBus(chips, board.faults_file)


def _air(chip: ChipSettings) -> Air:
    if chip.recording is None:
        return Weather(PLACES[chip.place], chip.seed)
    try:
        return RecordedAir(chip.recording)
    except ValueError as error:
        raise ConfigError(f"{chip.recording.file}: {error}") from error
