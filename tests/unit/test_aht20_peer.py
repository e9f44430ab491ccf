"""Adafruit's driver of the AHT20 and ours make the same of the same bytes."""

import pytest

from wayside_edge.drivers.aht20 import Aht20, Aht20Settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.aht20 import Aht20Chip
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench

AIR = [State(celsius, 1e5, percent) for celsius in (-39.5, -12.3, 0.0, 21.37, 84.9) for percent in (0, 3.3, 43.21, 100)]


@pytest.mark.parametrize("state", AIR, ids=str)
def test_agree(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(state)
    bench.put(0x38, Aht20Chip(bench.around))
    driver = Aht20(Aht20Settings(), "main", bench)
    bench.finish(driver.start())
    adafruit = circuitpython.driver("adafruit_ahtx0")
    peer = adafruit.AHTx0(peer_bus(bench, monkeypatch, adafruit))
    ours = [reading.value for reading in bench.finish(driver.read())]
    assert ours == pytest.approx([peer.temperature, peer.relative_humidity], abs=1e-9)
