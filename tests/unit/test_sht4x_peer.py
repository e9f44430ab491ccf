"""Adafruit's driver of the SHT4x and ours make the same of the same bytes."""

import pytest

from wayside_edge.drivers.sht4x import Sht4x, Sht4xSettings
from wayside_edge.drivers.sht4x.settings import Precision
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.sht4x import Sht4xChip
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench

AIR = [
    State(celsius, 1e5, percent)
    for celsius in (-39.5, -12.3, 0.0, 21.37, 85.1, 124.9)
    for percent in (-3, 0, 43.21, 104)
]


@pytest.mark.parametrize("state", AIR, ids=str)
@pytest.mark.parametrize(
    ("precision", "mode"),
    [*zip(Precision, ("NOHEAT_HIGHPRECISION", "NOHEAT_MEDPRECISION", "NOHEAT_LOWPRECISION"), strict=True)],
)
def test_agree(state: State, precision: Precision, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(state)
    bench.put(0x44, Sht4xChip(bench.around))
    driver = Sht4x(Sht4xSettings(precision=precision), "main", bench, bench.clock)
    bench.finish(driver.start())
    adafruit = circuitpython.driver("adafruit_sht4x")
    peer = adafruit.SHT4x(peer_bus(bench, monkeypatch, adafruit))
    peer.mode = getattr(adafruit.Mode, mode)
    ours = [reading.value for reading in bench.finish(driver.read())]
    assert ours == pytest.approx(peer.measurements, abs=1e-9)
