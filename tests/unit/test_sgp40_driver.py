"""The SGP40 driver against the simulated chip: settings, states and mistakes."""

import pytest

from wayside_edge.drivers.sgp40 import KIND, Sgp40, Sgp40Settings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.ports import Reading
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.sgp40 import Sgp40Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import Slow, readings
from wayside_testkit.sensing import Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench(State(21.37, 98_765.4, 50.0))
    bench.signals["voc_ticks"] = 30_000.0
    bench.put(0x59, Sgp40Chip(bench.around))
    return bench


def chip(bench: Bench) -> Sgp40Chip:
    found = bench.bus.chips[0x59]
    assert isinstance(found, Sgp40Chip)
    return found


def started(bench: Bench, settings: Sgp40Settings | None = None) -> Sgp40:
    driver = Sgp40(settings or Sgp40Settings(), "main", bench, bench.clock)
    bench.finish(driver.start())
    return driver


def raw(bench: Bench, driver: Sgp40) -> Reading:
    return readings(bench, driver)["voc_raw"]


def warm(bench: Bench, settings: Sgp40Settings | None = None) -> Sgp40:
    driver = started(bench, settings)
    bench.clock.sleep(300.0)
    return driver


def test_measures_what_is_there(bench: Bench) -> None:
    driver = warm(bench)
    before_s = bench.clock.now_s
    assert raw(bench, driver) == Reading("voc_raw", 30_000, "1")
    assert bench.clock.now_s - before_s == pytest.approx(0.03)
    bench.signals["voc_ticks"] = 27_500.0
    assert raw(bench, driver).value == 27_500


@pytest.mark.parametrize("warm_up_s", [0.0, 60.0, 600.0])
def test_values_are_unstable_until_it_is_warm(bench: Bench, warm_up_s: float) -> None:
    driver = started(bench, Sgp40Settings(warm_up_s=warm_up_s))
    found = raw(bench, driver)
    assert isinstance(found.value, int)
    assert found.value < 29_000
    assert found.quality is (Quality.UNSTABLE if warm_up_s else Quality.GOOD)
    bench.clock.sleep(warm_up_s)
    assert raw(bench, driver).quality is Quality.GOOD


def test_the_humidity_of_the_place_is_taken_into_account(bench: Bench) -> None:
    bench.state = State(22.0, 1e5, 80.0)
    assert raw(bench, warm(bench)).value == 29_250
    assert raw(bench, warm(bench, Sgp40Settings(humidity_percent=80.0, temperature_c=22.0))).value == 30_000


def test_closing_turns_the_hot_plate_off(bench: Bench) -> None:
    driver = started(bench)
    assert chip(bench).hot_since_s is not None
    driver.close()
    assert chip(bench).hot_since_s is None


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "gives 65535, which no air makes"),
        (Fault.SLOW, Quality.NOT_READY, "gave no answer within"),
        (Fault.CORRUPT, Quality.CHECKSUM, "a checksum that does not fit"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x59, fault)
    with pytest.raises(SensorError, match=f"address 0x59: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x59, Fault.NONE)
    bench.clock.sleep(300.0)
    bench.finish(driver.start())
    assert raw(bench, driver).value == 30_000


def test_a_start_after_a_dip_of_the_supply_warms_it_up_again(bench: Bench) -> None:
    driver = warm(bench)
    chip(bench).power_cycle()
    bench.finish(driver.start())
    assert raw(bench, driver).quality is Quality.UNSTABLE


def test_a_broken_chip_is_refused(bench: Bench) -> None:
    chip(bench).broken = True
    with pytest.raises(
        SensorError, match=r"finds its hot plate or its metal oxide broken \(self-test 0x4b00"
    ) as caught:
        started(bench)
    assert caught.value.quality is Quality.OPEN_CIRCUIT


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x59, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_an_sgp41_is_refused_by_name(bench: Bench) -> None:
    bench.bus.set_fault(0x59, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match="is an SGP41: its features are 0x0040; fit an SGP40") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_is_told_from_an_sgp41(bench: Bench) -> None:
    assert KIND.identify is not None
    bus = Slow(bench)
    assert KIND.identify(bus, 0x59)
    bench.bus.set_fault(0x59, Fault.WRONG_IDENTITY)
    assert not KIND.identify(bus, 0x59)
