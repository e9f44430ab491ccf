"""The VEML7700 driver against the simulated chip: ranges, settling, correction, states and mistakes."""

import pytest

from wayside_edge.drivers.veml7700 import KIND, Veml7700, Veml7700Settings
from wayside_edge.drivers.veml7700.settings import GAIN_CODES, INTEGRATION_CODES
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.veml7700 import Veml7700Chip, given
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench

ADDRESS = 0x10


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals["lux"] = 420.0
    bench.put(ADDRESS, Veml7700Chip(bench.around))
    return bench


def driver(bench: Bench, settings: Veml7700Settings | None = None) -> Veml7700:
    return Veml7700(settings or Veml7700Settings(), "main", bench)


@pytest.mark.parametrize("lux", [0.0, 0.01, 0.5, 5.0, 50.0, 54.0, 420.0, 1000.0, 9000.0, 50_000.0, 139_000.0])
def test_the_range_finds_itself(bench: Bench, lux: float) -> None:
    bench.signals["lux"] = lux
    found = readings(bench, started(bench, driver(bench)))["illuminance"]
    assert found.quality is Quality.GOOD
    assert found.value == pytest.approx(lux, rel=0.006, abs=0.0043)


def test_the_range_follows_any_jump(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    for lux in (0.2, 100_000.0, 0.0, 30.0, 130_000.0, 300.0, 3.0, 3000.0):
        bench.signals["lux"] = lux
        bench.clock.sleep(1.0)
        assert values(bench, chip)["illuminance"] == pytest.approx(lux, rel=0.006, abs=0.0043)


def test_a_range_that_fits_is_kept_and_costs_no_time(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    values(bench, chip)
    before_s, before = bench.clock.now_s, bench.bus.transactions
    values(bench, chip)
    assert bench.clock.now_s == before_s
    assert bench.bus.transactions == before + 2


def test_a_new_range_settles_for_twice_its_integration(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.signals["lux"] = 0.1
    bench.clock.sleep(1.0)
    before_s = bench.clock.now_s
    values(bench, chip)
    assert bench.clock.now_s - before_s == pytest.approx(0.0025 + 1.6)


@pytest.mark.parametrize("gain", GAIN_CODES)
@pytest.mark.parametrize("integration_ms", INTEGRATION_CODES)
def test_every_fixed_range(bench: Bench, gain: float, integration_ms: int) -> None:
    settings = Veml7700Settings(auto_range=False, gain=gain, integration_ms=integration_ms)
    bench.signals["lux"] = 150.0
    found = values(bench, started(bench, driver(bench, settings)))["illuminance"]
    assert found == pytest.approx(150.0, abs=1.1 * settings.fixed.lux_per_count)


def test_without_correction_it_is_what_the_chip_gives(bench: Bench) -> None:
    bench.signals["lux"] = 10_000.0
    found = values(bench, started(bench, driver(bench, Veml7700Settings(correct=False))))["illuminance"]
    assert found == pytest.approx(given(10_000.0), abs=1.1)
    assert found < 8000.0


def test_the_end_of_a_fixed_range_is_flagged(bench: Bench) -> None:
    bench.signals["lux"] = 5000.0
    settings = Veml7700Settings(auto_range=False, gain=2.0, integration_ms=800, correct=False)
    found = readings(bench, started(bench, driver(bench, settings)))["illuminance"]
    assert (found.value, found.quality) == (pytest.approx(65535 * 0.0042), Quality.CLIPPED)


def test_more_light_than_the_chip_can_tell_is_flagged(bench: Bench) -> None:
    chip = started(bench, driver(bench))
    bench.bus.set_fault(ADDRESS, Fault.OUT_OF_RANGE)
    bench.clock.sleep(1.0)
    found = readings(bench, chip)["illuminance"]
    assert (found.value, found.quality) == (140_000.0, Quality.CLIPPED)


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench) -> None:
    chip = started(bench, driver(bench, Veml7700Settings(auto_range=False, gain=1.0)))
    bench.bus.chips[ADDRESS].power_cycle()  # type: ignore[attr-defined]
    quality, message = refusal(lambda: readings(bench, chip))
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    assert values(bench, started(bench, chip))["illuminance"] == pytest.approx(420.0, abs=0.1)


def test_another_chip_is_refused(bench: Bench) -> None:
    assert KIND.identify is not None
    assert KIND.identify(bench.i2c("main"), ADDRESS)
    bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(bench, driver(bench)))
    assert quality is Quality.WRONG_CHIP
    assert "bus main, address 0x10: the chip is no VEML7700: identity 0x0026" in message
    assert not KIND.identify(bench.i2c("main"), ADDRESS)


def test_closing_puts_it_to_sleep(bench: Bench) -> None:
    started(bench, driver(bench)).close()
    assert bench.i2c("main").write_read(ADDRESS, b"\x00", 2)[0] & 1
