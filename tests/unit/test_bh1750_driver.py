"""The BH1750 driver against the simulated chip: modes, times, darkness, states and mistakes."""

import pytest

from wayside_edge.drivers.bh1750 import Bh1750, Bh1750Settings
from wayside_edge.drivers.bh1750.settings import Resolution
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.bh1750 import Bh1750Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench

ADDRESS = 0x23


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals["lux"] = 420.0
    bench.put(ADDRESS, Bh1750Chip(bench.around))
    return bench


def driver(bench: Bench, settings: Bh1750Settings | None = None) -> Bh1750:
    return Bh1750(settings or Bh1750Settings(), "main", bench)


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("time", [31, 69, 254])
@pytest.mark.parametrize("lux", [0.0, 1.0, 420.0, 7000.0])
def test_measures_what_is_there(bench: Bench, continuous: bool, resolution: Resolution, time: int, lux: float) -> None:
    bench.signals["lux"] = lux
    settings = Bh1750Settings(resolution=resolution, measurement_time=time, continuous=continuous)
    found = values(bench, started(bench, driver(bench, settings)))
    assert found["illuminance"] == pytest.approx(lux, abs=settings.lux_per_count / 2 + 1e-9)


@pytest.mark.parametrize(("resolution", "longest_s"), [("high", 0.18), ("high2", 0.18), ("low", 0.024)])
@pytest.mark.parametrize("time", [31, 69, 254])
def test_waits_the_longest_time(bench: Bench, resolution: str, longest_s: float, time: int) -> None:
    chip = started(bench, driver(bench, Bh1750Settings(resolution=Resolution(resolution), measurement_time=time)))
    before_s = bench.clock.now_s
    values(bench, chip)
    assert bench.clock.now_s - before_s == pytest.approx(longest_s * time / 69)


@pytest.mark.parametrize("continuous", [False, True])
def test_sees_each_change(bench: Bench, continuous: bool) -> None:
    chip = started(bench, driver(bench, Bh1750Settings(continuous=continuous)))
    for lux in (10.0, 1000.0, 0.0, 30.0):
        bench.signals["lux"] = lux
        bench.clock.sleep(0.2)
        assert values(bench, chip)["illuminance"] == pytest.approx(lux, abs=0.42)


@pytest.mark.parametrize("continuous", [False, True])
def test_the_end_of_the_range_is_flagged(bench: Bench, continuous: bool) -> None:
    bench.signals["lux"] = 54_600.0
    chip = started(bench, driver(bench, Bh1750Settings(continuous=continuous)))
    assert readings(bench, chip)["illuminance"].quality is Quality.GOOD
    bench.bus.set_fault(ADDRESS, Fault.OUT_OF_RANGE)
    bench.clock.sleep(0.2)
    found = readings(bench, chip)["illuminance"]
    assert (found.value, found.quality) == (pytest.approx(54_612.5), Quality.CLIPPED)


def test_a_dip_of_the_supply_is_not_taken_for_darkness(bench: Bench) -> None:
    chip = started(bench, driver(bench, Bh1750Settings(continuous=True, measurement_time=138)))
    bench.bus.chips[ADDRESS].power_cycle()  # type: ignore[attr-defined]
    assert values(bench, chip)["illuminance"] == pytest.approx(420.0, abs=0.42)


def test_a_measurement_that_is_late_is_waited_for(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    steps = chip.read()
    bench.clock.sleep(next(steps) / 2)  # as a chip of half the speed
    next(steps)
    bench.clock.sleep(0.18)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value[0].value == pytest.approx(420.0, abs=0.42)


def test_an_old_result_is_never_given_again(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    values(bench, chip)
    bench.bus.set_fault(ADDRESS, Fault.SLOW)
    assert values(bench, chip)["illuminance"] == 0.0


def test_another_chip_is_refused(bench: Bench) -> None:
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, driver(bench)))
    assert quality is Quality.WRONG_CHIP
    assert "bus main, address 0x23: the chip is no BH1750: gives 0x8080" in message


def test_closing_puts_it_to_sleep(bench: Bench) -> None:
    started(bench, driver(bench, Bh1750Settings(continuous=True))).close()
    before = bench.i2c("main").read(ADDRESS, 2)
    bench.signals["lux"] = 9000.0
    bench.clock.sleep(1.0)
    assert bench.i2c("main").read(ADDRESS, 2) == before


def test_settings_refuse_another_address() -> None:
    with pytest.raises(ValueError, match="0x24"):
        Bh1750Settings(address=0x24)
