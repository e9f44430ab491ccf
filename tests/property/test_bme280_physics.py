"""The driver gives back the physics that went into the simulated chip, whatever its calibration and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.drivers.bme280 import Bme280, Bme280Settings
from wayside_edge.drivers.bme280.settings import FILTERS, OVERSAMPLING, STANDBY_MS, Mode
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.bme280 import trimming
from wayside_testkit.sensing import Board

states = st.builds(
    State, celsius=st.floats(-35.0, 80.0), pascal=st.floats(40_000.0, 109_000.0), percent=st.floats(3.0, 97.0)
)
settings = st.builds(
    Bme280Settings,
    mode=st.sampled_from(Mode),
    temperature_oversampling=st.sampled_from(OVERSAMPLING[1:]),
    pressure_oversampling=st.sampled_from(OVERSAMPLING),
    humidity_oversampling=st.sampled_from(OVERSAMPLING),
    filter=st.sampled_from(FILTERS),
    standby_ms=st.sampled_from(STANDBY_MS),
)


@given(states, settings, st.integers(0, 10_000))
def test_physics_come_back_within_the_resolution(state: State, chosen: Bme280Settings, seed: int) -> None:
    board = Board(state, trimming(seed))
    driver = Bme280(chosen, "main", board)
    board.finish(driver.start())
    for _ in range(3):
        found = {reading.name: float(reading.value or 0) for reading in board.finish(driver.read())}
        board.clock.sleep(0.3)
    # 0.005 °C a step at 16 bit, 0.01 °C in the integer result; 2.6 Pa a step; 0.008 % a step.
    assert found.pop("temperature") == pytest.approx(state.celsius, abs=0.015)
    if chosen.pressure_oversampling:
        assert found.pop("pressure") == pytest.approx(state.pascal / 100, abs=0.03)
    if chosen.humidity_oversampling:
        assert found.pop("humidity") == pytest.approx(state.percent, abs=0.06)
    assert not found
