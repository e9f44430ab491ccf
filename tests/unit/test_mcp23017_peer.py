"""The MCP23017 driver beside Adafruit's, on the same simulated chip."""

import pytest

from wayside_edge.drivers.mcp23017 import Mcp23017, Mcp23017Input, Mcp23017Settings
from wayside_edge.drivers.mcp23017.settings import PINS
from wayside_firmware.board.chips.mcp23017 import Mcp23017Chip
from wayside_testkit.chips import readings, started
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

PEER = driver("adafruit_mcp230xx.mcp23017")
PULL_UP = driver("digitalio").Pull.UP


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("pull_up", [False, True])
def test_agrees_on_every_pin(inverted: bool, pull_up: bool) -> None:
    bench = Bench()
    ours_chip, theirs_chip = Mcp23017Chip(bench.around), Mcp23017Chip(bench.around)
    bench.put(0x21, ours_chip)
    bench.put(0x20, theirs_chip)
    theirs = PEER.MCP23017(Busio(bench.i2c("main")))
    pins = [theirs.get_pin(number) for number in range(16)]
    for pin in pins:
        pin.switch_to_input(pull=PULL_UP if pull_up else None, invert_polarity=inverted)
    inputs = [Mcp23017Input(name=pin, pin=pin, inverted=inverted, pull_up=pull_up) for pin in PINS]
    ours = started(bench, Mcp23017(Mcp23017Settings(address=0x21, inputs=inputs), "main", bench))
    for levels, driven in ((0x0000, 0xFFFF), (0xA5C3, 0xFFFF), (0x1234, 0xFF00), (0xFFFF, 0x0F0F), (0, 0)):
        ours_chip.drive(levels, driven)
        theirs_chip.drive(levels, driven)
        assert [reading.value for reading in readings(bench, ours).values()] == [pin.value for pin in pins]
