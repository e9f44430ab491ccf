"""The MPU-6050 with Adafruit's driver: both read the same registers."""

import math
from types import SimpleNamespace

import pytest

from wayside_edge.drivers.mpu6050 import Mpu6050, Mpu6050Settings
from wayside_edge.drivers.mpu6050.settings import ACCELERATION_RANGES_G, ROTATION_RANGES_DPS
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.mpu6050 import Mpu6050Chip
from wayside_testkit import circuitpython
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio


@pytest.mark.parametrize("code", range(4))
@pytest.mark.parametrize(("share", "celsius"), [(0.1, -39.0), (-0.3, 0.0), (0.999, 24.5), (-0.74, 84.0), (1.2, 25.0)])
def test_agree_to_the_last_bit(monkeypatch: pytest.MonkeyPatch, code: int, share: float, celsius: float) -> None:
    bench = Bench(State(celsius, 100_000.0, 50.0))
    adafruit = circuitpython.driver("adafruit_mpu6050")
    monkeypatch.setattr(adafruit, "sleep", bench.clock.sleep)
    g, dps = ACCELERATION_RANGES_G[code], ROTATION_RANGES_DPS[code]
    bench.signals.update(acceleration_g=share * g, rotation_dps=-share * dps)
    bench.put(0x68, Mpu6050Chip(bench.around))
    ours = Mpu6050(Mpu6050Settings(acceleration_range_g=g, rotation_range_dps=dps), "main", bench)
    bench.finish(ours.start())
    found = SimpleNamespace(**{r.name: float(r.value or 0) for r in bench.finish(ours.read())})
    theirs = adafruit.MPU6050(Busio(bench.i2c("main")))
    theirs.accelerometer_range = code
    theirs.gyro_range = code
    bench.clock.sleep(0.1)
    assert theirs.temperature == pytest.approx(found.temperature, rel=1e-12)
    assert theirs.acceleration == pytest.approx(
        (found.acceleration_x, found.acceleration_y, found.acceleration_z), rel=1e-12
    )
    assert [math.degrees(value) for value in theirs.gyro] == pytest.approx(
        [found.rotation_x, found.rotation_y, found.rotation_z], rel=1e-12
    )
