"""Adafruit's driver of the SHT3x and ours make the same of the same bytes."""

import pytest

from wayside_edge.drivers.sht3x import Sht3x, Sht3xSettings
from wayside_edge.drivers.sht3x.settings import Repeatability
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.sht3x import Sht3xChip
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench

AIR = [
    State(celsius, 1e5, percent) for celsius in (-39.5, -12.3, 0.0, 21.37, 124.9) for percent in (0, 3.3, 43.21, 100)
]


@pytest.mark.parametrize("state", AIR, ids=str)
@pytest.mark.parametrize(("level", "peers"), [*zip(Repeatability, ("High", "Medium", "Low"), strict=True)])
def test_agree(state: State, level: Repeatability, peers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(state)
    bench.put(0x44, Sht3xChip(bench.around))
    driver = Sht3x(Sht3xSettings(repeatability=level), "main", bench, bench.clock)
    bench.finish(driver.start())
    adafruit = circuitpython.driver("adafruit_sht31d")
    peer = adafruit.SHT31D(peer_bus(bench, monkeypatch, adafruit))
    peer.repeatability = peers
    ours = [reading.value for reading in bench.finish(driver.read())]
    assert ours == pytest.approx([peer.temperature, peer.relative_humidity], abs=1e-9)
