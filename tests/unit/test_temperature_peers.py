"""Thermometers on SPI beside other people's drivers, on the same simulated chips."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from wayside_edge.drivers.max6675 import Max6675, Max6675Settings
from wayside_edge.drivers.max31855 import Max31855, Max31855Settings
from wayside_edge.drivers.max31865 import Element, Max31865, Max31865Settings
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import SpiChip
from wayside_firmware.board.chips.max6675 import Max6675Chip
from wayside_firmware.board.chips.max31855 import Max31855Chip
from wayside_firmware.board.chips.max31865 import Max31865Chip
from wayside_testkit.chips import started, values
from wayside_testkit.circuitpython import driver
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import BusioSpi, Pin


def spi(bench: Bench) -> BusioSpi:
    return BusioSpi(bench.spi("spi", 0, mode=1, max_speed_hz=1_000_000))


@pytest.mark.parametrize("tip", [-250.0, -99.9, -0.25, 0.0, 25.3, 512.0, 1350.1])
@pytest.mark.parametrize("own", [-40.0, -0.07, 23.4, 85.0])
def test_max31855_agrees(tip: float, own: float) -> None:
    bench = Bench(State(own, 100_000.0, 50.0))
    bench.signals.update(probe_celsius=tip)
    bench.put_spi(0, Max31855Chip(bench.around))
    theirs = driver("adafruit_max31855").MAX31855(spi(bench), Pin())
    ours = values(bench, started(bench, Max31855(Max31855Settings(), "spi", bench)))
    assert ours == {"temperature": theirs.temperature, "cold_junction": theirs.reference_temperature}


@pytest.mark.parametrize("element", Element)
@pytest.mark.parametrize("wires", [2, 3, 4])
@pytest.mark.parametrize("celsius", [-200.0, -150.0, -100.0, -60.0, -20.0, -1.0, 0.0, 0.5, 25.0, 100.0, 400.0, 849.0])
def test_max31865_agrees(monkeypatch: pytest.MonkeyPatch, element: Element, wires: int, celsius: float) -> None:
    """Below 0 °C theirs is the fit of a polynomial (Analog Devices AN-709), which is up to 0.0011 °C off the equation
    of IEC 60751, a thirtieth of the chip's step; ours solves it. Above 0 °C they must not differ at all."""
    bench = Bench()
    bench.signals.update(probe_celsius=celsius)
    bench.put_spi(0, Max31865Chip(bench.around, element.ohm, 4.3 * element.ohm, 0.4, wires))
    adafruit = driver("adafruit_max31865")
    monkeypatch.setattr(adafruit, "time", SimpleNamespace(sleep=bench.clock.sleep))
    theirs = adafruit.MAX31865(
        spi(bench), Pin(), rtd_nominal=element.ohm, ref_resistor=4.3 * element.ohm, wires=wires, filter_frequency=50
    )
    expected = theirs.temperature
    settings = Max31865Settings(element=element, wires=wires)
    found = values(bench, started(bench, Max31865(settings, "spi", bench)))["temperature"]
    assert found == pytest.approx(expected, abs=1e-9 if expected >= 0 else 0.0011)


class Lines:
    """The board of the `max6675` package: pins that it reads and writes one by one, over a chip on SPI."""

    def __init__(self, chip: SpiChip) -> None:
        self._chip = chip
        self._bits = ""

    def get_pin(self, name: str) -> SimpleNamespace:
        kind = name.split(":")[1]
        return SimpleNamespace(read=lambda: self._bits[0] == "1", write=lambda level: self._set(kind, level))

    def _set(self, kind: str, level: int) -> None:
        if kind == "cs" and not level:
            self._bits = f"{int.from_bytes(self._chip.transfer(bytes(2)), 'big'):016b}"
        elif kind == "sclk" and level:
            self._bits = self._bits[1:]


@pytest.mark.parametrize("tip", [0.25, 0.5, 17.1, 99.9, 256.0, 511.75, 1023.5])
def test_max6675_agrees(monkeypatch: pytest.MonkeyPatch, tip: float) -> None:
    """Theirs wants its pins from a Firmata board and sleeps at each bit; both are put in its place."""
    bench = Bench()
    bench.signals.update(probe_celsius=tip)
    chip = Max6675Chip(bench.around)
    bench.put_spi(0, chip)
    monkeypatch.setitem(sys.modules, "pyfirmata2", ModuleType("pyfirmata2"))
    peer = driver("max6675")
    monkeypatch.setattr(peer, "time", SimpleNamespace(sleep=bench.clock.sleep))
    theirs = peer.thermocouple(Lines(chip), "miso", "cs", "sclk")
    expected = theirs.read()
    assert values(bench, started(bench, Max6675(Max6675Settings(), "spi", bench))) == {"temperature": expected}
