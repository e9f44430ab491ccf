"""The same frames through Adafruit's driver and ours: every word must agree."""

import pytest

from wayside_edge.drivers.pms5003 import Pms5003, Pms5003Settings
from wayside_edge.hal.uart import SerialUart
from wayside_firmware.board.chips.pms5003 import Pms5003Chip
from wayside_firmware.board.serial import SimulatedSerial
from wayside_testkit import circuitpython
from wayside_testkit.sensing import Bench

NAMES = {
    "pm1_0": "pm10 env",
    "pm2_5": "pm25 env",
    "pm10": "pm100 env",
    "pm1_0_standard": "pm10 standard",
    "pm2_5_standard": "pm25 standard",
    "pm10_standard": "pm100 standard",
    "particles_0_3um": "particles 03um",
    "particles_0_5um": "particles 05um",
    "particles_1_0um": "particles 10um",
    "particles_2_5um": "particles 25um",
    "particles_5_0um": "particles 50um",
    "particles_10um": "particles 100um",
}


@pytest.mark.parametrize("pm_ug_m3", [0.0, 1.0, 12.4, 35.5, 255.0, 256.0, 999.0, 4000.0])
def test_every_word_agrees(pm_ug_m3: float) -> None:
    bench = Bench()
    bench.signals["pm_ug_m3"] = pm_ug_m3
    line = SimulatedSerial(Pms5003Chip(bench.around))
    bench.tty = SerialUart("tty", lambda: line)
    driver = Pms5003(Pms5003Settings(standard=True, counts=True), "tty", bench, bench.clock)
    bench.finish(driver.start())
    ours = {reading.name: reading.value for reading in bench.finish(driver.read())}
    bench.clock.sleep(2.3)
    assert line.in_waiting == 32
    theirs = circuitpython.driver("adafruit_pm25.uart").PM25_UART(line).read()
    assert ours == {name: theirs[other] for name, other in NAMES.items()}
