"""What the drivers of TMP117, MCP9808, LM75 and TMP102 do, each against its simulated chip."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from wayside_edge import registry
from wayside_edge.drivers.lm75 import Lm75, Lm75Settings
from wayside_edge.drivers.mcp9808 import Mcp9808, Mcp9808Settings
from wayside_edge.drivers.mcp9808.settings import RESOLUTIONS_C
from wayside_edge.drivers.tmp102 import Tmp102, Tmp102Settings
from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.drivers.tmp117.settings import AVERAGES, CYCLES_S, Mode
from wayside_edge.errors import SensorError
from wayside_edge.ports import Driver
from wayside_firmware.board import chips
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.lm75 import Lm75Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench, finish


@dataclass(frozen=True)
class Thermometer:
    """A driver with settings, and what its chip resolves."""

    kind: str
    driver: Callable[[Any, str, Bench], Driver]
    settings: Any
    step_c: float
    address: int = 0x48


CASES = [
    *(Thermometer("tmp117", Tmp117, Tmp117Settings(averages=times), 1 / 128) for times in AVERAGES),
    *(
        Thermometer("tmp117", Tmp117, Tmp117Settings(mode=Mode.CONTINUOUS, averages=times, cycle_s=cycle_s), 1 / 128)
        for times, cycle_s in zip((1, 1, 8, 8, 32, 32, 64, 64), CYCLES_S, strict=True)
    ),
    *(Thermometer("mcp9808", Mcp9808, Mcp9808Settings(resolution_c=step), step, 0x18) for step in RESOLUTIONS_C),
    Thermometer("lm75", Lm75, Lm75Settings(), 0.5),
    Thermometer("lm75", Lm75, Lm75Settings(bits=11), 0.125),
    Thermometer("tmp102", Tmp102, Tmp102Settings(), 1 / 16),
    Thermometer("tmp102", Tmp102, Tmp102Settings(extended=True), 1 / 16),
]
ONE_EACH = [CASES[0], CASES[12], CASES[17], CASES[18]]


def bench_for(case: Thermometer, celsius: float = 21.37) -> Bench:
    bench = Bench(State(celsius, 98_765.4, 43.21))
    bench.put(case.address, chips.load(case.kind).build(bench.around))  # type: ignore[arg-type]
    return bench


def made(case: Thermometer, bench: Bench) -> Driver:
    return case.driver(case.settings, "main", bench)


def describe(case: Thermometer) -> str:
    return case.kind


@pytest.mark.parametrize("case", CASES, ids=describe)
@pytest.mark.parametrize("celsius", [-39.99, -0.03, 0.0, 0.03, 21.37, 99.9, 124.9])
def test_measures_what_is_there_and_follows(case: Thermometer, celsius: float) -> None:
    bench = bench_for(case, celsius)
    chip = started(bench, made(case, bench))
    # An LM75B measures 11 bits; one told to give 9 cuts the others off.
    worst_c = case.step_c if case.kind == "lm75" else case.step_c / 2
    assert values(bench, chip)["temperature"] == pytest.approx(celsius, abs=worst_c + 1e-9)
    bench.state = State(celsius - 5, 98_765.4, 43.21)
    bench.clock.sleep(20.0)
    assert values(bench, chip)["temperature"] == pytest.approx(celsius - 5, abs=worst_c + 1e-9)


@pytest.mark.parametrize("case", ONE_EACH, ids=describe)
def test_what_cannot_be_is_refused(case: Thermometer) -> None:
    bench = bench_for(case)
    chip = started(bench, made(case, bench))
    bench.bus.set_fault(case.address, Fault.OUT_OF_RANGE)
    bench.clock.sleep(1.0)
    quality, message = refusal(lambda: readings(bench, chip))
    assert quality is Quality.OUT_OF_RANGE
    assert "outside of what it can measure" in message


@pytest.mark.parametrize("case", ONE_EACH, ids=describe)
def test_another_chip_is_refused(case: Thermometer) -> None:
    bench = bench_for(case)
    bench.bus.set_fault(case.address, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, made(case, bench)))
    assert quality is Quality.WRONG_CHIP
    assert f"bus main, address 0x{case.address:02x}: the chip is no {case.kind.upper()}" in message


@pytest.mark.parametrize("case", ONE_EACH, ids=describe)
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(case: Thermometer) -> None:
    bench = bench_for(case)
    chip = started(bench, made(case, bench))
    steps = chip.read() if case.kind.startswith("tmp") else None
    if steps is not None:
        next(steps)  # type: ignore[arg-type]
    bench.bus.chips[case.address].power_cycle()  # type: ignore[attr-defined]
    quality, message = refusal(lambda: finish(chip.read() if steps is None else steps, bench.clock.sleep))
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    assert values(bench, started(bench, chip))["temperature"] == pytest.approx(21.37, abs=case.step_c)


# The bit that this noise turns is one of the TMP117's flags, and it has no checksum: there it cannot be told.
@pytest.mark.parametrize("case", ONE_EACH[1:], ids=describe)
def test_noise_on_the_wires_is_noticed(case: Thermometer) -> None:
    bench = bench_for(case)
    chip = started(bench, made(case, bench))
    bench.bus.set_fault(case.address, Fault.CORRUPT)
    with pytest.raises(SensorError):
        readings(bench, chip)


@pytest.mark.parametrize("case", [case for case in ONE_EACH if case.kind.startswith("tmp")], ids=describe)
def test_a_slow_chip_is_given_up(case: Thermometer) -> None:
    bench = bench_for(case)
    chip = started(bench, made(case, bench))
    bench.bus.set_fault(case.address, Fault.SLOW)
    quality, message = refusal(lambda: readings(bench, chip))
    assert quality is Quality.NOT_READY
    assert "did not finish its measurement" in message
    bench.bus.set_fault(case.address, Fault.NONE)
    assert values(bench, started(bench, chip))["temperature"] == pytest.approx(21.37, abs=case.step_c)


def test_each_is_told_from_the_others_and_from_an_ads1115() -> None:
    for present in ("tmp117", "lm75", "tmp102", "ads1115"):
        bench = Bench()
        bench.signals["volt"] = 1.0
        bench.put(0x48, chips.load(present).build(bench.around))  # type: ignore[arg-type]
        bench.clock.sleep(1.0)
        taken = []
        for asked in ("tmp117", "lm75", "tmp102", "ads1115"):
            kind = registry.load(asked)
            assert kind is not None
            assert kind.identify is not None
            if kind.identify(bench.i2c("main"), 0x48):
                taken.append(asked)
        assert taken == [present]


@pytest.mark.parametrize("asked", ["tmp117", "lm75", "tmp102", "ads1115"])
def test_asking_takes_no_measurement_of_a_tmp117_away(asked: str) -> None:
    bench = bench_for(ONE_EACH[0])
    chip = started(bench, Tmp117(Tmp117Settings(mode=Mode.CONTINUOUS), "main", bench))
    kind = registry.load(asked)
    assert kind is not None
    assert kind.identify is not None
    kind.identify(bench.i2c("main"), 0x48)
    assert readings(bench, chip)["temperature"].quality is Quality.GOOD


def test_an_mcp9808_is_told() -> None:
    bench = bench_for(ONE_EACH[1])
    kind = registry.load("mcp9808")
    assert kind is not None
    assert kind.identify is not None
    assert kind.identify(bench.i2c("main"), 0x18)
    bench.bus.set_fault(0x18, Fault.WRONG_IDENTITY)
    assert not kind.identify(bench.i2c("main"), 0x18)


@pytest.mark.parametrize("times", AVERAGES)
def test_a_tmp117_waits_for_its_averages(times: int) -> None:
    bench = bench_for(ONE_EACH[0])
    chip = started(bench, Tmp117(Tmp117Settings(averages=times), "main", bench))
    before_s = bench.clock.now_s
    readings(bench, chip)
    assert bench.clock.now_s - before_s == pytest.approx(0.0175 * times)


def test_what_a_tmp117_gave_before_is_stale() -> None:
    bench = bench_for(ONE_EACH[0])
    chip = started(bench, Tmp117(Tmp117Settings(mode=Mode.CONTINUOUS), "main", bench))
    for wait_s, expected in ((0.0, Quality.GOOD), (0.5, Quality.STALE), (1.0, Quality.GOOD)):
        bench.clock.sleep(wait_s)
        assert readings(bench, chip)["temperature"].quality is expected


def test_a_tmp117_that_was_reset_and_has_measured_nothing_is_not_believed() -> None:
    bench = bench_for(ONE_EACH[0])
    chip = started(bench, Tmp117(Tmp117Settings(mode=Mode.CONTINUOUS), "main", bench))
    bench.bus.chips[0x48].power_cycle()  # type: ignore[attr-defined]
    assert refusal(lambda: readings(bench, chip))[0] is Quality.NOT_READY


def test_a_tmp117_whose_eeprom_is_being_written_is_waited_for() -> None:
    bench = bench_for(ONE_EACH[0])
    bench.bus.chips[0x48].writing_eeprom = True  # type: ignore[attr-defined]
    quality, message = refusal(lambda: started(bench, Tmp117(Tmp117Settings(), "main", bench)))
    assert quality is Quality.NOT_READY
    assert "EEPROM" in message


def test_a_tmp117_sleeps_after_closing() -> None:
    bench = bench_for(ONE_EACH[0])
    started(bench, Tmp117(Tmp117Settings(mode=Mode.CONTINUOUS), "main", bench)).close()
    assert bench.i2c("main").write_read(0x48, b"\x01", 2)[0] & 0x0C == 0x04


def test_an_mcp9808_that_is_locked_is_told() -> None:
    bench = bench_for(ONE_EACH[1])
    bench.i2c("main").write(0x18, bytes((1, 0, 0x80)))
    with pytest.raises(SensorError, match=r"settings locked \(0x0080\)"):
        started(bench, made(ONE_EACH[1], bench))


@pytest.mark.parametrize(
    ("extended", "celsius", "quality"), [(False, 127.9375, Quality.CLIPPED), (True, 140.0, Quality.GOOD)]
)
def test_a_tmp102_at_the_end_of_its_format(extended: bool, celsius: float, quality: Quality) -> None:
    bench = bench_for(ONE_EACH[3], 140.0)
    found = readings(bench, started(bench, Tmp102(Tmp102Settings(extended=extended), "main", bench)))["temperature"]
    assert (found.value, found.quality) == (celsius, quality)


def test_an_lm75_of_12_bits() -> None:
    bench = Bench(State(-21.37, 98_765.4, 43.21))
    bench.put(0x48, Lm75Chip(bench.around, bits=12))
    chip = started(bench, Lm75(Lm75Settings(bits=12), "main", bench))
    assert values(bench, chip)["temperature"] == pytest.approx(-21.37, abs=1 / 32)


def test_an_lm75_that_lacks_the_bits_is_told() -> None:
    bench = bench_for(ONE_EACH[2])
    quality, message = refusal(lambda: started(bench, Lm75(Lm75Settings(bits=12), "main", bench)))
    assert quality is Quality.WRONG_CHIP
    assert "no LM75 of 12 bits" in message


@pytest.mark.parametrize("settings", [Tmp117Settings, Mcp9808Settings, Lm75Settings, Tmp102Settings])
def test_settings_refuse_another_address(settings: type[Any]) -> None:
    with pytest.raises(ValueError, match="0x60"):
        settings(address=0x60)
