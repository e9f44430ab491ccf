"""Drivers of climate sensors give back the physics that went into the simulated chips, within a step of each chip."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge import registry
from wayside_edge.ports import Driver
from wayside_firmware.board import chips
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import I2cChip
from wayside_testkit.sensing import Bench

# Kind, half a step of temperature and of humidity (from the formulas; the two lowest bits of a Si7021 are no part of
# the value, which its model cuts off), and the range in which the chip measures.
CHIPS = [
    ("sht3x", 175 / 65535 / 2, 100 / 65535 / 2, (-40.0, 125.0)),
    ("sht4x", 175 / 65535 / 2, 125 / 65535 / 2, (-40.0, 125.0)),
    ("aht20", 200 / 2**20 / 2, 100 / 2**20, (-40.0, 85.0)),
    ("si7021", 4 * 175.72 / 65536, 4 * 125 / 65536, (-40.0, 125.0)),
    ("htu21d", 4 * 175.72 / 65536, 4 * 125 / 65536, (-40.0, 125.0)),
    ("scd4x", 175 / 65535, 100 / 65535 / 2, (-10.0, 60.0)),
]


def measured(name: str, state: State) -> dict[str, float]:
    bench = Bench(state)
    bench.signals["co2_ppm"] = 600.0
    model, kind = chips.load(name), registry.load(name)
    assert model.address is not None
    assert kind is not None
    bench.put(model.address, cast(I2cChip, model.build(bench.around)))
    build = cast(Callable[..., Driver], kind.build)
    clocked: dict[str, Any] = {"clock": bench.clock} if name in ("sht3x", "sht4x", "scd4x") else {}
    driver = build(kind.settings(), "main", bench, **clocked)
    bench.finish(driver.start())
    return {reading.name: float(reading.value or 0) for reading in bench.finish(driver.read())}


@pytest.mark.parametrize(("name", "celsius_step", "percent_step", "span"), CHIPS)
@given(data=st.data())
def test_physics_come_back_within_a_step(
    name: str, celsius_step: float, percent_step: float, span: tuple[float, float], data: st.DataObject
) -> None:
    state = State(data.draw(st.floats(*span)), 101_325.0, data.draw(st.floats(0.0, 100.0)))
    found = measured(name, state)
    assert found["temperature"] == pytest.approx(state.celsius, abs=celsius_step * 1.001)
    assert found["humidity"] == pytest.approx(state.percent, abs=percent_step * 1.001)
