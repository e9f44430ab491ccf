"""The drivers of TMP117, MCP9808 and LM75 beside Adafruit's, on the same simulated chips."""

import time

import pytest

from wayside_edge.drivers.lm75 import Lm75, Lm75Settings
from wayside_edge.drivers.mcp9808 import Mcp9808, Mcp9808Settings
from wayside_edge.drivers.tmp102 import Tmp102, Tmp102Settings
from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.ports import Driver
from wayside_firmware.board import chips
from wayside_firmware.board.air import State
from wayside_testkit.chips import Slow, started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio

CELSIUS = (-55.0, -40.0, -25.3, -0.07, -0.0078, 0.0, 0.004, 0.2, 21.371, 36.6, 99.99, 124.93)


def soldered(model: str) -> tuple[Bench, int]:
    bench = Bench()
    usual = chips.load(model).address
    assert usual is not None
    for address in (usual, usual + 1):
        bench.put(address, chips.load(model).build(bench.around))  # type: ignore[arg-type]
    return bench, usual


def agree(bench: Bench, ours: Driver, theirs: object, celsius: float, attribute: str = "temperature") -> None:
    bench.state = State(celsius, 98_765.4, 43.21)
    bench.clock.sleep(2.0)
    assert values(bench, ours)["temperature"] == pytest.approx(getattr(theirs, attribute), abs=1e-9)


def test_tmp117(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, address = soldered("tmp117")
    monkeypatch.setattr(time, "sleep", bench.clock.sleep)
    theirs = driver("adafruit_tmp117").TMP117(Busio(Slow(bench)))
    ours = started(bench, Tmp117(Tmp117Settings(address=address + 1), "main", bench))
    for celsius in CELSIUS:
        agree(bench, ours, theirs, celsius)


def test_mcp9808() -> None:
    bench, address = soldered("mcp9808")
    peer = driver("adafruit_mcp9808")
    theirs = peer.MCP9808(Busio(bench.i2c("main")))
    for code, resolution_c in enumerate((0.5, 0.25, 0.125, 0.0625)):
        theirs.resolution = code
        settings = Mcp9808Settings(address=address + 1, resolution_c=resolution_c)
        ours = started(bench, Mcp9808(settings, "main", bench))
        for celsius in CELSIUS[1:]:
            agree(bench, ours, theirs, celsius)


def test_lm75_beside_a_pct2075() -> None:
    bench, address = soldered("lm75")
    theirs = driver("adafruit_pct2075").PCT2075(Busio(bench.i2c("main")), address)
    ours = started(bench, Lm75(Lm75Settings(address=address + 1, bits=11), "main", bench))
    for celsius in CELSIUS:
        agree(bench, ours, theirs, celsius)


def test_tmp102_beside_a_pct2075() -> None:
    # The PCT2075 has a step of 0.125 °C and reads the TMP102's finer one cut off.
    bench, address = soldered("tmp102")
    theirs = driver("adafruit_pct2075").PCT2075(Busio(bench.i2c("main")), address)
    ours = started(bench, Tmp102(Tmp102Settings(address=address + 1), "main", bench))
    for celsius in CELSIUS:
        bench.state = State(celsius, 98_765.4, 43.21)
        bench.clock.sleep(2.0)
        assert values(bench, ours)["temperature"] // 0.125 * 0.125 == theirs.temperature
