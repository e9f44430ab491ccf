"""The ADXL345 with Adafruit's driver: both read the same registers.

Theirs counts 4 mg to a step; the data sheet (Table 1) has 256 steps to a g in full resolution, 3.9 mg. So steps are
compared, and accelerations by that ratio.
"""

import pytest

from wayside_edge.drivers.adxl345 import Adxl345, Adxl345Settings
from wayside_edge.drivers.adxl345.settings import RANGES_G
from wayside_firmware.board.chips.adxl345 import Adxl345Chip
from wayside_testkit.chips import started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio


@pytest.mark.parametrize("code", range(4))
@pytest.mark.parametrize("share", [-1.2, -0.98, -0.31, 0.0, 0.004, 0.5, 0.999, 1.3])
def test_agree_to_the_last_bit(code: int, share: float) -> None:
    bench = Bench()
    bench.signals.update(acceleration_g=share * RANGES_G[code])
    bench.put(0x53, Adxl345Chip(bench.around))
    ours = values(bench, started(bench, Adxl345(Adxl345Settings(range_g=RANGES_G[code]), "main", bench)))
    theirs = driver("adafruit_adxl34x").ADXL345(Busio(bench.i2c("main")))
    theirs.range = code
    bench.clock.sleep(0.1)
    assert theirs.raw_x == round(ours["acceleration_x"] / 9.80665 * 256)
    bench.clock.sleep(0.1)
    assert theirs.acceleration == pytest.approx(tuple(value * 0.004 * 256 for value in ours.values()), rel=1e-12)
