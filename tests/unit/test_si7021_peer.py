"""Adafruit's drivers of Si7021 and HTU21D and ours make the same of the same bytes."""

from types import SimpleNamespace

import pytest

from wayside_edge.drivers.si7021 import Htu21d, Htu21dSettings, Si7021, Si7021Settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.htu21d import Htu21dChip
from wayside_firmware.board.chips.si7021 import Si7021Chip
from wayside_testkit import circuitpython
from wayside_testkit.chips import Slow
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

AIR = [State(celsius, 1e5, percent) for celsius in (-39.5, -12.3, 0.0, 21.37, 124.9) for percent in (0.1, 43.21, 99.9)]


@pytest.mark.parametrize("state", AIR, ids=str)
def test_agree_on_a_si7021(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(state)
    bench.put(0x40, Si7021Chip(bench.around))
    adafruit = circuitpython.driver("adafruit_si7021")
    monkeypatch.setattr(adafruit, "time", SimpleNamespace(sleep=bench.clock.sleep))
    peer = adafruit.SI7021(Busio(Slow(bench)))
    theirs = [peer.temperature, peer.relative_humidity]
    driver = Si7021(Si7021Settings(), "main", bench)
    bench.finish(driver.start())
    assert [reading.value for reading in bench.finish(driver.read())] == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("state", AIR, ids=str)
def test_agree_on_an_htu21d(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the two status bits, which by the data sheet are no part of the value and which theirs takes along."""
    bench = Bench(state)
    bench.put(0x40, Htu21dChip(bench.around))
    adafruit = circuitpython.driver("adafruit_htu21d")
    monkeypatch.setattr(adafruit, "time", SimpleNamespace(sleep=bench.clock.sleep))
    peer = adafruit.HTU21D(Busio(Slow(bench)))
    theirs = [peer.temperature, peer.relative_humidity - 0b10 * 125.0 / 65536]
    driver = Htu21d(Htu21dSettings(), "main", bench)
    bench.finish(driver.start())
    assert [reading.value for reading in bench.finish(driver.read())] == pytest.approx(theirs, abs=1e-9)
