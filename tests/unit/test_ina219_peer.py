"""The INA219 driver beside Adafruit's, on the same simulated chip."""

import pytest

from wayside_edge.drivers.ina219 import Ina219, Ina219Settings
from wayside_firmware.board.chips.ina219 import Ina219Chip
from wayside_testkit.chips import started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

PEER = driver("adafruit_ina219")


@pytest.mark.parametrize("volt", [0.0, 3.3, 12.0, 25.996])
@pytest.mark.parametrize("ampere", [-3.0, -0.01, 0.0, 0.0004, 0.5, 3.19])
def test_agrees_to_the_last_step(volt: float, ampere: float) -> None:
    bench = Bench()
    bench.signals.update(ampere=ampere, bus_volt=volt)
    bench.put(0x40, Ina219Chip(bench.around))
    # Theirs has a calibration of 4096 for 3.2 A and 0.1 Ω: a step of 0.1 mA.
    settings = Ina219Settings(max_current_a=3.2768, shunt_ohm=0.1)
    assert settings.calibration == 4096
    ours = values(bench, started(bench, Ina219(settings, "main", bench)))
    theirs = PEER.INA219(Busio(bench.i2c("main")))
    bench.clock.sleep(0.01)
    assert ours["bus_voltage"] == pytest.approx(theirs.bus_voltage, abs=1e-9)
    assert ours["shunt_voltage"] == pytest.approx(theirs.shunt_voltage * 1000, abs=1e-9)
    assert ours["current"] == pytest.approx(theirs.current / 1000, abs=1e-9)
    assert ours["power"] == pytest.approx(theirs.power, abs=1e-9)
