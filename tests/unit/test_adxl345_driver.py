"""The ADXL345 driver against the simulated chip, on both buses: single reads, bursts of its FIFO, states, mistakes."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from wayside_edge.drivers.adxl345 import KIND, Adxl345, Adxl345Settings
from wayside_edge.drivers.adxl345.settings import RANGES_G, RATES_HZ
from wayside_edge.errors import BusError, ConfigError, DeviceAbsentError
from wayside_edge.ports import Reading
from wayside_firmware.board.chip import Fault, Surroundings
from wayside_firmware.board.chips.adxl345 import Adxl345Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started, values
from wayside_testkit.sensing import Bench

G = 9.80665
STEP = G / 256


def plugged(g: float = 0.5) -> Bench:
    bench = Bench()
    bench.signals.update(acceleration_g=g)
    put(bench, Adxl345Chip(bench.around))
    return bench


def put(bench: Bench, chip: Adxl345Chip) -> None:
    bench.put(0x53, chip)
    bench.put_spi(0, chip)


def break_it(bench: Bench, fault: Fault) -> None:
    bench.bus.set_fault(0x53, fault)


def driver(bench: Bench, bus: str = "main", **settings: float) -> Adxl345:
    made = Adxl345(Adxl345Settings(**settings), bus, bench)  # type: ignore[arg-type]
    started(bench, made)
    return made


class Wired(Adxl345Chip):
    """A chip whose bytes take time on the bus."""

    def __init__(self, around: Surroundings, bench: Bench, s_per_byte: float) -> None:
        super().__init__(around)
        self._bench = bench
        self._s_per_byte = s_per_byte

    def read(self, count: int) -> bytes:
        found = super().read(count)
        self._bench.clock.sleep((count + 3) * self._s_per_byte)
        return found


def counting(bench: Bench, rate_hz: float, s_per_byte: float = 0.0) -> None:
    """A chip each of whose samples has its number, in pairs of steps of the accelerometer, on x."""
    begin_s = bench.clock.now_s

    def number(at_s: float) -> float:
        return (round((at_s - 1.7e9 - begin_s) * rate_hz) % 2000) / 128

    put(bench, Wired(replace(bench.around, signals={"acceleration_g": number}), bench, s_per_byte))


def numbers(found: Sequence[Reading]) -> list[int]:
    return [round(float(each.value or 0) / STEP / 2) for each in found if each.name == "acceleration_x"]


@pytest.mark.parametrize("bus", ["main", "spi"])
@pytest.mark.parametrize("range_g", RANGES_G)
def test_full_resolution_in_every_range(bus: str, range_g: int) -> None:
    bench = plugged(range_g * 0.777)
    found = values(bench, driver(bench, bus, range_g=range_g))
    assert found["acceleration_x"] == pytest.approx(range_g * 0.777 * G, abs=STEP / 2 * 1.01)
    assert found["acceleration_y"] == pytest.approx(-range_g * 0.3885 * G, abs=STEP / 2 * 1.01)
    assert found["acceleration_z"] == pytest.approx((1 + range_g * 0.19425) * G, abs=STEP / 2 * 1.01)


@pytest.mark.parametrize(("g", "clipped"), [(3.0, True), (-3.0, True), (1.99, False), (-1.99, False)])
def test_the_ends_of_the_range_are_marked(g: float, clipped: bool) -> None:
    bench = plugged(g)
    found = readings(bench, driver(bench, range_g=2))
    assert found["acceleration_x"].quality is (Quality.CLIPPED if clipped else Quality.GOOD)
    assert found["acceleration_y"].quality is Quality.GOOD


@pytest.mark.parametrize("rate_hz", [800.0, 1600.0, 3200.0])
@pytest.mark.parametrize(("g", "quality"), [(-2.1, Quality.CLIPPED), (2.1, Quality.CLIPPED), (1.98, Quality.GOOD)])
def test_the_ends_are_told_at_rates_that_lose_a_bit(rate_hz: float, g: float, quality: Quality) -> None:
    bench = plugged(g)
    found = bench.finish(driver(bench, "spi", range_g=2, fifo_rate_hz=rate_hz).read())
    assert {reading.quality for reading in found if reading.name == "acceleration_x"} == {quality}


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_numbered_samples_arrive_without_a_gap(rate_hz: float) -> None:
    bench = plugged()
    counting(bench, rate_hz)
    made = driver(bench, "spi", fifo_rate_hz=rate_hz)
    found: list[int] = []
    for turn in range(40):
        bench.clock.sleep((16, 30, 3, 0.2)[turn % 4] / rate_hz)
        burst = bench.finish(made.read())
        assert {reading.quality for reading in burst} == {Quality.GOOD}
        assert [reading.name[-1] for reading in burst] == ["x", "y", "z"] * (len(burst) // 3)
        found += numbers(burst)
    assert len(found) > 450
    assert found == list(range(found[0], found[0] + len(found)))


def test_samples_have_the_age_at_which_they_were_taken() -> None:
    bench = plugged()
    begin_s = bench.clock.now_s
    counting(bench, 800, s_per_byte=22.5e-6)
    made = driver(bench, fifo_rate_hz=800.0)
    for _ in range(20):
        bench.clock.sleep(0.0213)
        burst = bench.finish(made.read())
        end_s = bench.clock.now_s
        ages = [reading.age_ns for reading in burst if reading.name == "acceleration_x"]
        for age_ns, number in zip(ages, numbers(burst), strict=True):
            assert end_s - age_ns / 1e9 - begin_s == pytest.approx(number / 800, abs=1.6 / 800)
        assert all(early - late == 1_250_000 for early, late in pairwise(ages))
        assert min(ages) > 0


def test_an_overrun_marks_the_first_sample_after_the_gap() -> None:
    bench = plugged()
    counting(bench, 400)
    made = driver(bench, fifo_rate_hz=400.0)
    bench.clock.sleep(0.05)
    before = numbers(bench.finish(made.read()))
    bench.clock.sleep(0.5)
    burst = bench.finish(made.read())
    assert len(numbers(burst)) == 32
    assert numbers(burst)[0] > before[-1] + 1
    assert [reading.quality for reading in burst] == [Quality.OVERRUN] * 3 + [Quality.GOOD] * 93
    bench.clock.sleep(0.05)
    following = bench.finish(made.read())
    assert {reading.quality for reading in following} == {Quality.GOOD}
    assert numbers(following)[0] == numbers(burst)[-1] + 1


def test_an_overrun_while_it_is_read_marks_all_that_was_read() -> None:
    bench = plugged()
    counting(bench, 800, s_per_byte=1e-3)  # a sample takes 9 ms, and seven more come meanwhile
    made = driver(bench, fifo_rate_hz=800.0)
    bench.clock.sleep(0.015)
    burst = bench.finish(made.read())
    found = numbers(burst)
    assert found != list(range(found[0], found[0] + len(found)))
    assert {reading.quality for reading in burst} == {Quality.OVERRUN}


def test_a_start_in_between_says_that_samples_are_missing() -> None:
    bench = plugged()
    made = driver(bench, fifo_rate_hz=100.0)
    bench.clock.sleep(0.1)
    assert {reading.quality for reading in bench.finish(made.read())} == {Quality.GOOD}
    bench.finish(made.start())
    bench.clock.sleep(0.1)
    assert [reading.quality for reading in bench.finish(made.read())][:4] == [Quality.OVERRUN] * 3 + [Quality.GOOD]


def test_a_burst_leaves_the_bus_free_in_between() -> None:
    bench = plugged()
    made = driver(bench, fifo_rate_hz=100.0)
    bench.clock.sleep(0.25)
    assert list(made.read()) == [0.0] * 3  # type: ignore[arg-type]


@pytest.mark.parametrize("rate_hz", [0.0, 100.0])
def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(rate_hz: float) -> None:
    bench = plugged()
    made = driver(bench, fifo_rate_hz=rate_hz)
    chip = bench.bus.chips[0x53]
    assert isinstance(chip, Adxl345Chip)
    chip.power_cycle()
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.POWER_LOST
    started(bench, made)
    bench.clock.sleep(0.1)
    assert values(bench, made)["acceleration_x"] == pytest.approx(0.5 * G, abs=STEP)


@pytest.mark.parametrize("rate_hz", [0.0, 800.0])
def test_a_chip_that_does_not_measure_is_given_up(rate_hz: float) -> None:
    bench = plugged()
    made = driver(bench, fifo_rate_hz=rate_hz)
    values(bench, made)
    break_it(bench, Fault.SLOW)
    bench.clock.sleep(0.02)
    values(bench, made)
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.NOT_READY


@pytest.mark.parametrize("bus", ["main", "spi"])
def test_what_is_no_adxl345(bus: str) -> None:
    bench = plugged()
    break_it(bench, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: driver(bench, bus))
    assert quality is Quality.WRONG_CHIP
    assert "is no ADXL345: identity 0xe6 instead of 0xe5" in message
    assert KIND.identify is not None
    assert not KIND.identify(bench.i2c("main"), 0x53)
    break_it(bench, Fault.NONE)
    assert KIND.identify(bench.i2c("main"), 0x53)


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.STUCK])
def test_an_spi_chip_that_is_not_there_is_absent(fault: Fault) -> None:
    bench = plugged()
    made = driver(bench, "spi")
    break_it(bench, fault)
    assert refusal(lambda: bench.finish(made.start()))[0] is Quality.ABSENT
    assert refusal(lambda: bench.finish(made.read()))[0] is Quality.POWER_LOST


def test_an_i2c_chip_that_is_not_there_is_absent() -> None:
    bench = plugged()
    made = driver(bench)
    break_it(bench, Fault.ABSENT)
    with pytest.raises(DeviceAbsentError):
        bench.finish(made.read())
    break_it(bench, Fault.TIMEOUT)
    with pytest.raises(BusError):
        bench.finish(made.start())


def test_a_code_beyond_the_range_is_no_measurement() -> None:
    bench = plugged()
    made = driver(bench)
    break_it(bench, Fault.OUT_OF_RANGE)
    bench.clock.sleep(0.02)
    quality, message = refusal(lambda: bench.finish(made.read()))
    assert quality is Quality.OUT_OF_RANGE
    assert "128.0 g" in message


def test_closing_puts_it_to_standby() -> None:
    bench = plugged()
    driver(bench).close()
    assert bench.i2c("main").write_read(0x53, b"\x2d", 1) == b"\x00"


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="0x54"):
        Adxl345Settings(address=0x54)
    with pytest.raises(ConfigError, match="fifo_rate_hz = 1600: over I2C at most 800; wire it to SPI"):
        driver(plugged(), fifo_rate_hz=1600.0)
    driver(plugged(), "spi", fifo_rate_hz=1600.0)
