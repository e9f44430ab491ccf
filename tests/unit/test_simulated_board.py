"""The simulated board: weather, chips and settings."""

from itertools import pairwise
from pathlib import Path
from statistics import correlation, fmean

import pytest

from wayside_edge.errors import DeviceAbsentError
from wayside_edge.hal.i2c import SmbusI2c
from wayside_firmware.board import open_bus
from wayside_firmware.board.air import DAY_S, PLACES, RecordedAir, RecordingSettings, State, Weather
from wayside_firmware.board.chips.bme280 import trimming
from wayside_shared.errors import ConfigError
from wayside_testkit.sensing import Board

DAY = [1.7e9 + minute * 600.0 for minute in range(1440)]


@pytest.mark.parametrize("place", PLACES)
def test_weather_is_plausible_and_repeatable(place: str) -> None:
    weather = Weather(PLACES[place], seed=5)
    states = [weather(at_s) for at_s in DAY]
    assert states == [Weather(PLACES[place], seed=5)(at_s) for at_s in DAY]
    assert states != [Weather(PLACES[place], seed=6)(at_s) for at_s in DAY]
    assert fmean(s.celsius for s in states) == pytest.approx(PLACES[place].celsius, abs=3.0)
    assert all(96_000 < s.pascal < 106_000 and 0 < s.percent < 100 for s in states)
    assert correlation([s.celsius for s in states], [s.percent for s in states]) < 0
    assert all(abs(b.celsius - a.celsius) < 2.0 for a, b in pairwise(states))


def test_afternoons_are_warmer_than_nights() -> None:
    weather = Weather(PLACES["outdoors"], seed=1)
    midnight = 19_700 * DAY_S
    days = range(20)
    afternoon = fmean(weather(midnight + day * DAY_S + 15 * 3600).celsius for day in days)
    night = fmean(weather(midnight + day * DAY_S + 3 * 3600).celsius for day in days)
    assert afternoon > night + 5


def test_a_recording_takes_the_place_of_the_weather(tmp_path: Path) -> None:
    file = tmp_path / "office.csv"
    file.write_text('"date","T","H"\n"1","x",20.5,30\n"2","x",21.5,31\n')
    air = RecordedAir(RecordingSettings(file=file, temperature="T", humidity="H", step_s=10.0))
    assert air(0.0) == State(20.5, 101_325.0, 30.0)
    assert air(19.9) == State(21.5, 101_325.0, 31.0)
    assert air(20.0).celsius == 20.5


def test_a_recording_without_the_column_is_a_config_error(tmp_path: Path) -> None:
    file = tmp_path / "office.csv"
    file.write_text("a,b\n1,2\n")
    chip = {"model": "bme280", "recording": {"file": str(file), "temperature": "T"}}
    with pytest.raises(ConfigError, match="no column 'T'; there are a, b"):
        open_bus({"chips": [chip]})


def test_two_chips_at_one_address_are_refused() -> None:
    with pytest.raises(ConfigError, match="0x76"):
        open_bus({"chips": [{"model": "bme280"}, {"model": "bme280"}]})


def test_a_file_breaks_chips_and_mends_them(tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    bus = SmbusI2c("sim", lambda: open_bus({"chips": [{"model": "bme280"}], "faults_file": str(faults)}))
    assert bus.write_read(0x76, b"\xd0", 1) == b"\x60"
    faults.write_text("0x76 absent\n")
    with pytest.raises(DeviceAbsentError):
        bus.write_read(0x76, b"\xd0", 1)
    faults.write_text("0x76 wrong_identity\n")
    assert bus.write_read(0x76, b"\xd0", 1) == b"\x58"
    faults.unlink()
    assert bus.write_read(0x76, b"\xd0", 1) == b"\x60"


def test_calibrations_differ_by_seed() -> None:
    assert trimming(1) == trimming(1)
    assert len({trimming(seed) for seed in range(50)}) == 50


def test_measuring_takes_its_time_and_then_sleeps() -> None:
    board = Board(State(20.0, 100_000.0, 50.0))
    bus = board.i2c("main")
    board.clock.sleep(0.01)
    bus.write(0x76, bytes((0xF2, 1, 0xF4, 0x25)))
    assert bus.write_read(0x76, b"\xf3", 2) == bytes((0x08, 0x25))
    assert bus.write_read(0x76, b"\xfa", 1) == b"\x80"
    board.clock.sleep(0.0079)
    assert bus.write_read(0x76, b"\xf3", 1) == b"\x08"
    board.clock.sleep(0.0002)
    assert bus.write_read(0x76, b"\xf3", 2) == bytes((0x00, 0x24))
    assert bus.write_read(0x76, b"\xfa", 1) != b"\x80"


def test_humidity_settings_wait_for_the_next_measurement_control() -> None:
    board = Board(State(20.0, 100_000.0, 50.0))
    bus = board.i2c("main")
    bus.write(0x76, bytes((0xF4, 0x25, 0xF2, 1)))
    board.clock.sleep(0.1)
    assert bus.write_read(0x76, b"\xfd", 2) == b"\x80\x00"
    bus.write(0x76, bytes((0xF4, 0x25)))
    board.clock.sleep(0.1)
    assert bus.write_read(0x76, b"\xfd", 2) != b"\x80\x00"


def test_configuration_is_not_taken_while_it_measures_all_the_time() -> None:
    board = Board(State(20.0, 100_000.0, 50.0))
    bus = board.i2c("main")
    bus.write(0x76, bytes((0xF4, 0x27, 0xF5, 0x10)))
    assert bus.write_read(0x76, b"\xf5", 1) == b"\x00"


def test_what_is_read_only_stays() -> None:
    board = Board(State(20.0, 100_000.0, 50.0))
    bus = board.i2c("main")
    before = bus.write_read(0x76, b"\x88", 26)
    bus.write(0x76, bytes((0x88, 0, 0xD0, 0)))
    assert bus.write_read(0x76, b"\x88", 26) == before
    assert bus.write_read(0x76, b"\xd0", 1) == b"\x60"


def test_noise_is_that_of_the_data_sheet() -> None:
    board = Board(State(20.0, 100_000.0, 50.0), noise=1.0)
    bus = board.i2c("main")
    raws = []
    for _ in range(200):
        bus.write(0x76, bytes((0xF4, 0b10110101)))
        board.clock.sleep(0.2)
        data = bus.write_read(0x76, b"\xfa", 3)
        raws.append(int.from_bytes(data, "big") >> 4)
    assert 2 < max(raws) - min(raws) < 100
