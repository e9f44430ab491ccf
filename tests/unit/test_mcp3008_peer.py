"""The MCP3008 with Adafruit's driver: both see the same chip.

Theirs turns a code into volts with 65535 steps to the reference, so that the last code is the reference itself; by the
data sheet (DS21295, Equation 4-2) there are 1024 steps, and the last code is one below it. So codes are compared, and
voltages by their own rule.
"""

import pytest

from wayside_edge.drivers.mcp3008 import Mcp3008, Mcp3008Channel, Mcp3008Settings
from wayside_edge.drivers.mcp3008.settings import INPUTS
from wayside_firmware.board.chips.mcp3008 import Mcp3008Chip
from wayside_testkit import circuitpython
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import BusioSpi, Pin


@pytest.mark.parametrize("volt", [0.002, 0.01, 0.5, 1.0, 1.65, 2.2, 3.1, 3.2967, 3.2999, 4.0])
def test_agree_on_every_input_and_pair(volt: float) -> None:
    bench = Bench()
    bench.signals.update(volt=volt)
    bench.put_spi(0, Mcp3008Chip(bench.around))
    adafruit = circuitpython.driver("adafruit_mcp3xxx.mcp3008")
    analog_in = circuitpython.driver("adafruit_mcp3xxx.analog_in")
    theirs = adafruit.MCP3008(BusioSpi(bench.spi("spi", 0, mode=0, max_speed_hz=1_000_000)), Pin())
    channels = [Mcp3008Channel(input=each, name=f"in{each}") for each in INPUTS]
    ours = Mcp3008(Mcp3008Settings(channels=channels, zero_is_valid=True), "spi", bench)
    bench.finish(ours.start())
    for reading in bench.finish(ours.read()):
        value = float(reading.value or 0)
        pins = [int(pin) for pin in reading.name.removeprefix("in").split("-")]
        assert round(value / 3.3 * 1024) == theirs.read(pins[0], is_differential=len(pins) == 2)
        voltage = analog_in.AnalogIn(theirs, *pins).voltage
        assert voltage == pytest.approx(value * 1024 / 1023, abs=3.3 / 65535)
