"""A board from the settings of a bus of kind `simulated`, `simulated-spi` or `simulated-uart`."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wayside_firmware.board import chips
from wayside_firmware.board.air import PLACES, Air, RecordedAir, RecordingSettings, Weather
from wayside_firmware.board.bus import SimulatedBus, SimulatedSpi
from wayside_firmware.board.chip import SIGNALS, Fault, Model, Surroundings, Swing
from wayside_firmware.board.serial import SimulatedSerial
from wayside_shared.errors import ConfigError
from wayside_shared.settings import Table, from_table, setting


@dataclass(frozen=True, slots=True)
class ChipSettings:
    """One chip."""

    model: str = setting("What it is.", sample="bme280", choices=tuple(chips.MODELS))
    address: int | None = setting(
        "Its I2C address; without one its usual.", None, minimum=0x03, maximum=0x77, hexadecimal=True
    )
    chip_select: int = setting("Its chip select on SPI.", 0, minimum=0, maximum=255)
    place: str = setting("Where it is.", "office", choices=tuple(PLACES))
    seed: int = setting("Chooses its weather, calibration and noise; 0 has the calibration of the data sheet.", 1)
    noise: float = setting("Share of a real chip's noise.", 1.0, minimum=0.0, maximum=100.0)
    recording: RecordingSettings | None = setting("A recording instead of the weather.", None)
    signals: Table | None = setting(f"Numbers in place of the usual {', '.join(SIGNALS)}.", None)


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Settings of a bus of kind `simulated`, `simulated-spi` or `simulated-uart`."""

    chips: list[ChipSettings] = setting("The chips on the bus.")
    hurry: float = setting("How many times faster than real the weather changes.", 1.0, minimum=0.0, maximum=1e6)
    faults_file: Path | None = setting(
        "File that breaks chips while it says so, with lines such as '0x76 absent' (on SPI the chip select, on a serial"
        f" line 0): {', '.join(fault.value for fault in Fault)}.",
        None,
    )

    def __post_init__(self) -> None:
        addresses = [chip.address for chip in self.chips if chip.address is not None]
        twice = next((address for address in addresses if addresses.count(address) > 1), None)
        if twice is not None:
            raise ValueError(f"two chips have the address 0x{twice:02x}")


@dataclass(frozen=True, slots=True)
class BoardKind:
    """A bus kind, as the agent finds it among the entry points `wayside.buses`.

    Args:
        family: `i2c`, `spi` or `uart`.
    """

    family: str
    settings: type[BoardSettings] = BoardSettings

    def __call__(self, settings: Mapping[str, object]) -> Any:
        """The bus that a configuration's `[[bus]]` table describes.

        Raises:
            ConfigError: a setting is wrong, or two chips have one address.
            OSError: a recording cannot be read.
        """
        board = from_table(BoardSettings, Table(settings))
        builders: Mapping[str, Callable[[BoardSettings], Any]] = {
            "i2c": build_i2c,
            "spi": build_spi,
            "uart": build_uart,
        }
        return builders[self.family](board)


open_bus = BoardKind("i2c")
open_spi = BoardKind("spi")
open_uart = BoardKind("uart")

Clock = Callable[[], float]


def build_i2c(board: BoardSettings, clock: Clock = time.monotonic, wall: Clock = time.time) -> SimulatedBus:
    """An I2C bus with the chips of `board`.

    Args:
        board: what is on it.
        clock: seconds, for the time that measurements take.
        wall: seconds since 1970, for the weather.

    Raises:
        ConfigError: a model has no I2C, two chips have one address, or a recording lacks a column.
        OSError: a recording cannot be read.
    """
    found: dict[int, Any] = {}
    for chip, model, around in _chips(board, clock, wall):
        address = chip.address or model.address
        if address is None:
            raise ConfigError(f"a {chip.model} has no I2C; put it on a bus of kind simulated-spi")
        if address in found:
            raise ConfigError(f"two chips have the address 0x{address:02x}")
        found[address] = model.build(around)
    return SimulatedBus(found, board.faults_file)


def build_spi(board: BoardSettings, clock: Clock = time.monotonic, wall: Clock = time.time) -> SimulatedSpi:
    """An SPI bus with the chips of `board`; see `build_i2c`.

    Raises:
        ConfigError: a model has no SPI, two chips have one chip select, or a recording lacks a column.
        OSError: a recording cannot be read.
    """
    found: dict[int, Any] = {}
    for chip, model, around in _chips(board, clock, wall):
        if not model.spi:
            raise ConfigError(f"a {chip.model} has no SPI; put it on a bus of kind simulated")
        if chip.chip_select in found:
            raise ConfigError(f"two chips have the chip select {chip.chip_select}")
        found[chip.chip_select] = model.build(around)
    return SimulatedSpi(found, board.faults_file)


def build_uart(board: BoardSettings, clock: Clock = time.monotonic, wall: Clock = time.time) -> SimulatedSerial:
    """A serial line with the one chip of `board`; see `build_i2c`.

    Raises:
        ConfigError: the model has no serial line, there are several, or a recording lacks a column.
        OSError: a recording cannot be read.
    """
    found: list[Any] = []
    for chip, model, around in _chips(board, clock, wall):
        if not model.uart:
            raise ConfigError(f"a {chip.model} has no serial line; put it on a bus of kind simulated or simulated-spi")
        found.append(model.build(around))
    if len(found) != 1:
        raise ConfigError(f"{len(found)} chips are on a serial line, which has room for one")
    return SimulatedSerial(found[0], board.faults_file)


def _chips(board: BoardSettings, clock: Clock, wall: Clock) -> Iterator[tuple[ChipSettings, Model, Surroundings]]:
    begin_s = wall()
    for chip in board.chips:
        around = Surroundings(
            air=_air(chip),
            clock=clock,
            wall=lambda: begin_s + (wall() - begin_s) * board.hurry,
            signals=_signals(chip.signals),
            noise=chip.noise,
            seed=chip.seed,
        )
        yield chip, chips.load(chip.model), around


def _signals(given: Table | None) -> Mapping[str, Callable[[float], float]]:
    signals: dict[str, Callable[[float], float]] = {}
    for name, value in (given.values if given is not None else {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"signals.{name} must be a number")
        signals[name] = Swing(float(value), 0.0, 1.0)
    return signals


def _air(chip: ChipSettings) -> Air:
    if chip.recording is None:
        return Weather(PLACES[chip.place], chip.seed)
    try:
        return RecordedAir(chip.recording)
    except ValueError as error:
        raise ConfigError(f"{chip.recording.file}: {error}") from error
