"""The ADS1115 driver beside Adafruit's, on the same simulated chip."""

import pytest

from wayside_edge.drivers.ads1115 import Ads1115, Ads1115Channel, Ads1115Settings
from wayside_edge.drivers.ads1115.settings import FULL_SCALES_V, INPUTS
from wayside_firmware.board.chips.ads1115 import Ads1115Chip
from wayside_testkit.chips import Slow, started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

PEER = driver("adafruit_ads1x15")
GAINS = dict(zip(FULL_SCALES_V, (2 / 3, 1, 2, 4, 8, 16), strict=True))


@pytest.mark.parametrize("full_scale_v", FULL_SCALES_V)
@pytest.mark.parametrize("each", INPUTS)
def test_agrees_to_the_last_step(full_scale_v: float, each: str) -> None:
    bench = Bench()
    bench.put(0x48, Ads1115Chip(bench.around))
    theirs = PEER.ADS1115(Busio(Slow(bench)), gain=GAINS[full_scale_v])
    channel = Ads1115Channel(name="in", input=each, full_scale_v=full_scale_v)
    ours = started(bench, Ads1115(Ads1115Settings(channels=[channel]), "main", bench))
    positive, _, negative = each.partition("-")
    pins = [int(positive), *([int(negative)] if negative else [])]
    for step in range(-5, 11) if negative else range(11):
        bench.signals["volt"] = full_scale_v * step * 0.137
        assert values(bench, ours)["in"] == pytest.approx(
            PEER.AnalogIn(theirs, *pins).voltage, abs=full_scale_v / 32768 / 4
        )
