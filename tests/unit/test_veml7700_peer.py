"""The VEML7700 driver beside Adafruit's, on the same simulated chip."""

import time

import pytest

from wayside_edge.drivers.veml7700 import Veml7700, Veml7700Settings
from wayside_edge.drivers.veml7700.settings import GAIN_CODES, INTEGRATION_CODES
from wayside_firmware.board.chips.veml7700 import Veml7700Chip
from wayside_testkit.chips import started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

PEER = driver("adafruit_veml7700")
LUX = (0.0, 0.03, 7.7, 120.0, 2500.0, 20_000.0)


@pytest.mark.parametrize("gain", GAIN_CODES)
@pytest.mark.parametrize("integration_ms", INTEGRATION_CODES)
def test_agrees_in_every_fixed_range(gain: float, integration_ms: int) -> None:
    bench, theirs = Bench(), Bench()
    settings = Veml7700Settings(auto_range=False, gain=gain, integration_ms=integration_ms, correct=False)
    bench.put(0x10, Veml7700Chip(bench.around))
    theirs.put(0x10, Veml7700Chip(theirs.around))
    bench.signals["lux"] = theirs.signals["lux"] = 0.0
    ours = started(bench, Veml7700(settings, "main", bench))
    peer = PEER.VEML7700(Busio(theirs.i2c("main")))
    peer.light_gain = GAIN_CODES[gain]
    peer.light_integration_time = INTEGRATION_CODES[integration_ms]
    for lux in LUX:
        bench.signals["lux"] = theirs.signals["lux"] = lux
        bench.clock.sleep(2.0)
        theirs.clock.sleep(2.0)
        assert values(bench, ours)["illuminance"] == pytest.approx(peer.lux, abs=1e-6)


# Theirs corrects from 100 counts at gain 1/8 and 100 ms on, ours always: below 54 lx that is 0.7 % and less.
@pytest.mark.parametrize("lux", [56.0, 100.0, 420.0, 3000.0, 20_000.0, 60_000.0])
def test_agrees_in_the_range_that_finds_itself(lux: float, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, theirs = Bench(), Bench()
    bench.signals["lux"] = theirs.signals["lux"] = lux
    bench.put(0x10, Veml7700Chip(bench.around))
    theirs.put(0x10, Veml7700Chip(theirs.around))
    monkeypatch.setattr(time, "sleep", theirs.clock.sleep)
    monkeypatch.setattr(time, "monotonic", theirs.clock)
    peer = PEER.VEML7700(Busio(theirs.i2c("main")))
    ours = started(bench, Veml7700(Veml7700Settings(), "main", bench))
    assert values(bench, ours)["illuminance"] == pytest.approx(peer.autolux, rel=1e-9)
