"""The AHT20 driver against the simulated chip: states and mistakes."""

import pytest

from wayside_edge.drivers.aht20 import KIND, Aht20, Aht20Settings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.aht20 import Aht20Chip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

GOOD = [(21.37, Quality.GOOD), (43.21, Quality.GOOD)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench(State(21.37, 98_765.4, 43.21))
    bench.put(0x38, Aht20Chip(bench.around))
    return bench


def started(bench: Bench) -> Aht20:
    driver = Aht20(Aht20Settings(), "main", bench)
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Aht20) -> list[tuple[float, Quality]]:
    return [(round(float(reading.value or 0), 2), reading.quality) for reading in bench.finish(driver.read())]


def test_measures_what_is_there_in_80_ms(bench: Bench) -> None:
    driver = started(bench)
    before_s = bench.clock.now_s
    assert values(bench, driver) == GOOD
    assert bench.clock.now_s - before_s == pytest.approx(0.08)
    bench.state = State(-11.0, 1e5, 88.0)
    assert values(bench, driver) == [(-11.0, Quality.GOOD), (88.0, Quality.GOOD)]


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_humidity_at_the_ends_is_marked(bench: Bench, percent: float) -> None:
    bench.state = State(20.0, 1e5, percent)
    assert values(bench, started(bench)) == [(20.0, Quality.GOOD), (percent, Quality.CLIPPED)]


@pytest.mark.parametrize("celsius", [-40.0, 85.0])
def test_the_ends_of_the_range(bench: Bench, celsius: float) -> None:
    bench.state = State(celsius, 1e5, 50.0)
    assert values(bench, started(bench))[0] == (celsius, Quality.GOOD)


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "gives -50.00 °C"),
        (Fault.SLOW, Quality.NOT_READY, "did not finish a measurement"),
        (Fault.CORRUPT, Quality.CHECKSUM, "a checksum that does not fit"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x38, fault)
    with pytest.raises(SensorError, match=f"address 0x38: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x38, Fault.NONE)
    bench.finish(driver.start())
    assert values(bench, driver) == GOOD


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x38, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench) -> None:
    driver = started(bench)
    chip = bench.bus.chips[0x38]
    assert isinstance(chip, Aht20Chip)
    chip.power_cycle()
    with pytest.raises(SensorError, match="lost its calibration") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.POWER_LOST
    bench.finish(driver.start())
    assert values(bench, driver) == GOOD


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.bus.set_fault(0x38, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r"is no AHT20, or it is broken: .*status 0x07") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_is_told_by_its_checksum(bench: Bench) -> None:
    assert KIND.identify is not None
    assert KIND.identify(bench.i2c("main"), 0x38), "a chip that nobody used since its power came"
    started(bench)
    assert KIND.identify(bench.i2c("main"), 0x38)
    bench.bus.set_fault(0x38, Fault.WRONG_IDENTITY)
    assert not KIND.identify(bench.i2c("main"), 0x38)
