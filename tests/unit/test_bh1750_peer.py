"""The BH1750 driver beside Adafruit's, on the same simulated chip."""

import pytest

from wayside_edge.drivers.bh1750 import Bh1750, Bh1750Settings
from wayside_edge.drivers.bh1750.settings import Resolution
from wayside_firmware.board.chips.bh1750 import Bh1750Chip
from wayside_testkit.chips import started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

PEER = driver("adafruit_bh1750")
RESOLUTIONS = {
    Resolution.LOW: PEER.Resolution.LOW,
    Resolution.HIGH: PEER.Resolution.MID,
    Resolution.HIGH2: PEER.Resolution.HIGH,
}


@pytest.mark.parametrize("resolution", Resolution)
def test_agrees_to_the_last_step(resolution: Resolution, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.signals["lux"] = 0.0
    bench.put(0x23, Bh1750Chip(bench.around))
    bench.put(0x5C, Bh1750Chip(bench.around))
    ours = started(bench, Bh1750(Bh1750Settings(address=0x5C, resolution=resolution), "main", bench))
    monkeypatch.setattr(PEER, "sleep", bench.clock.sleep)
    theirs = PEER.BH1750(Busio(bench.i2c("main")))
    theirs.resolution = RESOLUTIONS[resolution]
    for lux in (0.0, 0.3, 1.0, 99.9, 4321.0, 27_000.0, 60_000.0):
        bench.signals["lux"] = lux
        bench.clock.sleep(0.2)
        theirs_lux = theirs.lux
        assert values(bench, ours)["illuminance"] == pytest.approx(theirs_lux, abs=1e-9)
