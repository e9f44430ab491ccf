"""Adafruit's driver of BME680 and BME688 and ours make the same of the same bytes.

Theirs computes Bosch's integer formulas with floating-point numbers, so what the integers cut off differs: it adds the
half step of the rounding to temperatures and does not round them; ours leaves out the three lowest of 20 bits of
temperature, 0.0025 °C, which makes up to 0.5 Pa; and humidities differ by up to 0.04 %.

By Bosch's BME68x Sensor API, theirs reads four coefficients wrongly: `res_heat_val` and `range_sw_err` are signed, and
the low half of register 0xE2 belongs to `par_h1`, its high half to `par_h2`, not the other way round. So the
calibrations here have none below zero, and zeros in 0xE2; test_bme680_driver.py and test_bme680_golden.py have others.
"""

from dataclasses import replace

import pytest

from wayside_edge.drivers.bme680 import Bme680, Bme680Settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chips.bme680 import HEATER_TARGET, HEATER_WAIT, Bme680Chip, trimming
from wayside_testkit import circuitpython
from wayside_testkit.peers import peer_bus
from wayside_testkit.sensing import Bench

AIR = [
    (State(celsius, pascal, percent), ohm)
    for celsius in (-35.0, -0.005, 21.37, 80.0)
    for pascal, percent, ohm in (
        (40_000.0, 12.0, 2_000.0),
        (98_765.4, 43.21, 123_456.0),
        (108_000.0, 90.0, 9_000_000.0),
    )
]


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("state", "ohm"), AIR, ids=str)
def test_agree(state: State, ohm: float, seed: int, high: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(state)
    bench.signals["gas_ohm"] = ohm
    found = trimming(seed)
    calibration = replace(found, switching_error=seed, h=(found.h[0] & ~0xF, found.h[1] & ~0xF, *found.h[2:]))
    chip = Bme680Chip(bench.around, calibration, high=high)
    bench.put(0x76, chip)
    adafruit = circuitpython.driver("adafruit_bme680")
    peer = adafruit.Adafruit_BME680_I2C(peer_bus(bench, monkeypatch, adafruit), 0x76)
    theirs = [peer.temperature, peer.pressure, peer.humidity, peer.gas]
    heater = chip.registers[HEATER_TARGET], chip.registers[HEATER_WAIT]
    driver = Bme680(Bme680Settings(), "main", bench)
    bench.finish(driver.start())
    temperature, pressure, humidity, gas = (reading.value for reading in bench.finish(driver.read()))
    # Theirs takes 25 °C for the air, and so do we before the first measurement.
    assert chip.registers[HEATER_TARGET] == pytest.approx(heater[0], abs=1)
    assert chip.registers[HEATER_WAIT] == heater[1]
    assert temperature == pytest.approx(theirs[0] - 0.005, abs=0.0076)
    assert pressure == pytest.approx(theirs[1], abs=0.005)
    assert humidity == pytest.approx(theirs[2], abs=0.04)
    # Theirs cuts to whole ohms, and rounds the quotient twice.
    assert gas == pytest.approx(theirs[3], abs=1.01)
