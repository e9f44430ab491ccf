"""Thermometers, analogue inputs and power monitors give back the physics that went in, whatever their settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.drivers.ads1115 import Ads1115, Ads1115Channel, Ads1115Settings
from wayside_edge.drivers.ads1115.settings import FULL_SCALES_V, INPUTS
from wayside_edge.drivers.ina226 import Ina226, Ina226Settings
from wayside_edge.drivers.ina226.settings import AVERAGES, CONVERSION_US
from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.drivers.tmp117 import settings as tmp117_settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.ads1115 import Ads1115Chip
from wayside_firmware.board.chips.ina226 import Ina226Chip
from wayside_firmware.board.chips.tmp117 import Tmp117Chip
from wayside_testkit.chips import started, values
from wayside_testkit.sensing import Bench


@given(st.floats(-55.0, 150.0), st.sampled_from(tmp117_settings.AVERAGES), st.sampled_from(tmp117_settings.Mode))
def test_tmp117(celsius: float, averages: int, mode: tmp117_settings.Mode) -> None:
    bench = Bench(State(celsius, 1e5, 50.0))
    bench.put(0x48, Tmp117Chip(bench.around))
    driver = started(bench, Tmp117(Tmp117Settings(averages=averages, mode=mode), "main", bench))
    assert values(bench, driver)["temperature"] == pytest.approx(celsius, abs=1 / 256 + 1e-9)


@given(st.floats(-0.999, 0.999), st.sampled_from(INPUTS), st.sampled_from(FULL_SCALES_V), st.floats(0.01, 1e4))
def test_ads1115(share: float, each: str, full_scale_v: float, scale: float) -> None:
    bench = Bench()
    high, _, low = each.partition("-")
    seen = 0.5 ** int(high) - (0.5 ** int(low) if low else 0.0)
    volt = share * full_scale_v if low else abs(share) * full_scale_v
    bench.signals["volt"] = volt / seen
    bench.put(0x48, Ads1115Chip(bench.around))
    channel = Ads1115Channel(name="in", input=each, full_scale_v=full_scale_v, scale=scale, offset=3.0)
    driver = started(bench, Ads1115(Ads1115Settings(channels=[channel]), "main", bench))
    step = full_scale_v / 32768 * scale
    assert values(bench, driver)["in"] == pytest.approx(3.0 + scale * volt, abs=0.51 * step)


@given(
    st.floats(-0.999, 0.999),
    st.floats(0.0, 36.0),
    st.floats(1e-4, 10.0),
    st.sampled_from(AVERAGES),
    st.sampled_from(CONVERSION_US),
)
def test_ina226(share: float, volt: float, ohm: float, averages: int, conversion_us: int) -> None:
    bench = Bench()
    most_a = 0.0819 / ohm
    bench.signals.update(ampere=share * most_a, bus_volt=volt)
    bench.put(0x40, Ina226Chip(bench.around, shunt_ohm=ohm))
    settings = Ina226Settings(shunt_ohm=ohm, max_current_a=most_a, averages=averages, conversion_us=conversion_us)
    found = values(bench, started(bench, Ina226(settings, "main", bench)))
    assert found["bus_voltage"] == pytest.approx(volt, abs=0.00063)
    # Half a step of the shunt's voltage, and one that the chip cuts off when it multiplies.
    assert found["current"] == pytest.approx(share * most_a, abs=1.6 * settings.current_step_a)
    assert found["power"] == pytest.approx(
        found["bus_voltage"] * abs(found["current"]), abs=25 * settings.current_step_a
    )
