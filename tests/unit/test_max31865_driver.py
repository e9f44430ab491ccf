"""The MAX31865 driver against the simulated chip: elements, wires, faults, and the equation of the element."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.drivers.max31865 import Element, Max31865, Max31865Settings, platinum
from wayside_edge.errors import BusError
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.max31865 import FORCE_OPEN, OPEN, OVERVOLTAGE, SHORTED, Max31865Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import refusal, started, values
from wayside_testkit.sensing import Bench


def plugged(celsius: float, nominal_ohm: float = 100.0, lead_ohm: float = 0.0, wires: int = 2) -> Bench:
    bench = Bench()
    bench.signals.update(probe_celsius=celsius)
    bench.put_spi(0, Max31865Chip(bench.around, nominal_ohm, 4.3 * nominal_ohm, lead_ohm, wires))
    return bench


def chip(bench: Bench) -> Max31865Chip:
    found = bench.spi_bus.chips[0]
    assert isinstance(found, Max31865Chip)
    return found


def driver(bench: Bench, settings: Max31865Settings | None = None) -> Max31865:
    made = Max31865(settings or Max31865Settings(), "spi", bench)
    started(bench, made)
    return made


def measured(bench: Bench, settings: Max31865Settings | None = None) -> float:
    return values(bench, driver(bench, settings))["temperature"]


@pytest.mark.parametrize("element", Element)
@pytest.mark.parametrize("celsius", [-199.9, -100.0, -50.05, -0.01, 0.0, 0.01, 25.0, 100.0, 400.0, 849.9])
def test_measures_over_the_whole_range(element: Element, celsius: float) -> None:
    bench = plugged(celsius, element.ohm)
    assert measured(bench, Max31865Settings(element=element)) == pytest.approx(celsius, abs=0.025)


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_takes_no_longer_than_the_data_sheet_allows(mains_hz: int) -> None:
    bench = plugged(25.0)
    made = driver(bench, Max31865Settings(mains_hz=mains_hz))
    begin_s = bench.clock.now_s
    values(bench, made)
    assert bench.clock.now_s - begin_s == pytest.approx(0.077 if mains_hz == 50 else 0.066)
    bench.signals.update(probe_celsius=35.0)
    assert values(bench, made)["temperature"] == pytest.approx(35.0, abs=0.02)


def test_wires_count_as_they_are_said() -> None:
    assert measured(plugged(20.0, lead_ohm=0.5)) == pytest.approx(20.0 + 1.0 / 0.389, abs=0.05)
    assert measured(plugged(20.0, lead_ohm=0.5), Max31865Settings(lead_ohm=1.0)) == pytest.approx(20.0, abs=0.02)
    three = plugged(20.0, lead_ohm=0.5, wires=3)
    assert measured(three, Max31865Settings(wires=3)) == pytest.approx(20.0, abs=0.02)
    assert measured(three, Max31865Settings(wires=2)) == pytest.approx(21.3, abs=0.1)
    four = plugged(20.0, lead_ohm=0.5, wires=4)
    assert measured(four, Max31865Settings(wires=4)) == pytest.approx(20.0, abs=0.02)


def test_the_bias_is_off_between_reads() -> None:
    bench = plugged(20.0)
    made = driver(bench)
    values(bench, made)
    assert bench.spi("spi", 0, mode=1, max_speed_hz=1).transfer(b"\x00\x00")[1] == 0x01


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(OPEN, "is open"), (SHORTED, "shorted"), (FORCE_OPEN, "FORCE wire is open"), (OVERVOLTAGE, "overvoltage")],
)
def test_broken_wires_are_told(wrong: int, words: str) -> None:
    bench = plugged(20.0)
    made = driver(bench)
    chip(bench).wrong = wrong
    quality, message = refusal(lambda: bench.finish(made.read()))
    assert quality is Quality.OPEN_CIRCUIT
    assert words in message.replace("over- or undervoltage", "overvoltage")
    chip(bench).wrong = 0
    assert values(bench, made)["temperature"] == pytest.approx(20.0, abs=0.02)


def test_an_element_beyond_its_range_is_a_fault() -> None:
    bench = plugged(20.0)
    made = driver(bench)
    for celsius in (-214.0, 865.0):
        bench.signals.update(probe_celsius=celsius)
        assert refusal(lambda: bench.finish(made.read()))[0] is Quality.OPEN_CIRCUIT
    for celsius in (-205.0, 855.0):
        bench.signals.update(probe_celsius=celsius)
        assert refusal(lambda: bench.finish(made.read()))[0] is Quality.OUT_OF_RANGE


def test_a_pt1000_on_the_resistor_of_a_pt100_is_told() -> None:
    bench = Bench()
    bench.signals.update(probe_celsius=20.0)
    bench.put_spi(0, Max31865Chip(bench.around, 1000.0, 430.0))
    assert refusal(lambda: measured(bench))[0] is Quality.OPEN_CIRCUIT


def test_a_reference_of_its_own() -> None:
    bench = Bench()
    bench.signals.update(probe_celsius=-40.0)
    bench.put_spi(0, Max31865Chip(bench.around, 100.0, 400.0))
    assert measured(bench, Max31865Settings(reference_ohm=400.0)) == pytest.approx(-40.0, abs=0.02)


@pytest.mark.parametrize(
    ("fault", "quality"),
    [(Fault.ABSENT, Quality.ABSENT), (Fault.STUCK, Quality.ABSENT), (Fault.CORRUPT, Quality.WRONG_CHIP)],
)
def test_what_does_not_answer_as_it_should(fault: Fault, quality: Quality) -> None:
    bench = plugged(20.0)
    made = driver(bench)
    bench.spi_bus.set_fault(0, fault)
    assert refusal(lambda: bench.finish(made.start()))[0] is quality
    assert refusal(lambda: bench.finish(made.read()))[0] in (Quality.POWER_LOST, Quality.NOT_READY)
    bench.spi_bus.set_fault(0, Fault.NONE)
    started(bench, made)
    assert values(bench, made)["temperature"] == pytest.approx(20.0, abs=0.02)


def test_another_chip_keeps_nothing() -> None:
    bench = plugged(20.0)
    bench.spi_bus.set_fault(0, Fault.WRONG_IDENTITY)
    assert refusal(lambda: driver(bench))[0] is Quality.WRONG_CHIP


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it() -> None:
    bench = plugged(20.0)
    made = driver(bench)
    chip(bench).power_cycle()
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.POWER_LOST
    started(bench, made)
    assert values(bench, made)["temperature"] == pytest.approx(20.0, abs=0.02)


def test_a_chip_that_is_slow_is_given_up() -> None:
    bench = plugged(20.0)
    made = driver(bench)
    bench.spi_bus.set_fault(0, Fault.SLOW)
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.NOT_READY


def test_a_bus_that_fails_is_a_bus_error() -> None:
    bench = plugged(20.0)
    made = driver(bench)
    bench.spi_bus.set_fault(0, Fault.TIMEOUT)
    with pytest.raises(BusError):
        bench.finish(made.read())


def test_settings_that_contradict() -> None:
    with pytest.raises(ValueError, match="lead_ohm: with 3 wires"):
        Max31865Settings(wires=3, lead_ohm=1.0)


@given(st.floats(platinum.MIN_C, platinum.MAX_C))
def test_the_equation_turned_round_is_itself(celsius: float) -> None:
    assert platinum.temperature(platinum.ratio(celsius)) == pytest.approx(celsius, abs=1e-7)


@given(st.floats(0.0, 10.0))
def test_every_ratio_has_a_temperature(ratio: float) -> None:
    assert -300 < platinum.temperature(ratio) < 3400
