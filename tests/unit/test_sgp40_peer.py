"""Adafruit's driver of the SGP40 and ours make the same of the same bytes."""

import pytest

from wayside_edge.drivers.sgp40 import Sgp40, Sgp40Settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.sgp40 import Sgp40Chip
from wayside_testkit import circuitpython
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio


@pytest.mark.parametrize("ticks", [20_000.0, 30_123.0, 52_767.0])
@pytest.mark.parametrize(("percent", "celsius"), [(50.0, 25.0), (0.0, -45.0), (33.3, 21.4), (90.0, 50.0)])
def test_agree(ticks: float, percent: float, celsius: float, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(State(celsius, 1e5, percent))
    bench.signals["voc_ticks"] = ticks
    bench.put(0x59, Sgp40Chip(bench.around))
    adafruit = circuitpython.driver("adafruit_sgp40")
    monkeypatch.setattr(adafruit, "sleep", bench.clock.sleep)
    peer = adafruit.SGP40(Busio(bench.i2c("main")))
    driver = Sgp40(Sgp40Settings(humidity_percent=percent, temperature_c=celsius), "main", bench, bench.clock)
    bench.finish(driver.start())
    bench.clock.sleep(300.0)
    theirs = peer.measure_raw(celsius, percent)
    (ours,) = bench.finish(driver.read())
    assert ours.value == theirs
