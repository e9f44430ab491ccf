"""The MPU-6050 driver against the simulated chip: single reads, bursts of its FIFO, states and mistakes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from wayside_edge.drivers.mpu6050 import KIND, Mpu6050, Mpu6050Settings, Parts
from wayside_edge.drivers.mpu6050.settings import ACCELERATION_RANGES_G, RATES_HZ, ROTATION_RANGES_DPS
from wayside_edge.errors import DeviceAbsentError, SensorError
from wayside_edge.ports import Reading
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.mpu6050 import Mpu6050Chip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

G = 9.80665
STEP = G / 16384


@pytest.fixture
def bench() -> Bench:
    bench = Bench(State(24.0, 100_000.0, 50.0))
    bench.signals.update(acceleration_g=0.5, rotation_dps=-40.0)
    bench.put(0x68, Mpu6050Chip(bench.around))
    return bench


def started(bench: Bench, settings: Mpu6050Settings | None = None) -> Mpu6050:
    driver = Mpu6050(settings or Mpu6050Settings(), "main", bench)
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Mpu6050) -> dict[str, float]:
    return {reading.name: float(reading.value or 0) for reading in bench.finish(driver.read())}


def of(readings: Sequence[Reading], name: str) -> list[Reading]:
    return [reading for reading in readings if reading.name == name]


def counting(bench: Bench, rate_hz: int, wires_s_per_byte: float = 0.0) -> Mpu6050Chip:
    """A chip each of whose samples has its number, in steps of the accelerometer at ±2 g, on x."""
    begin_s = bench.clock.now_s

    def number(at_s: float) -> float:
        return (round((at_s - 1.7e9 - begin_s) * rate_hz) % 30_000) / 16384

    chip: Mpu6050Chip = _Wired(replace(bench.around, signals={"acceleration_g": number}), bench, wires_s_per_byte)
    bench.put(0x68, chip)
    return chip


class _Wired(Mpu6050Chip):
    """A chip whose bytes take time on the bus."""

    def __init__(self, around: object, bench: Bench, s_per_byte: float) -> None:
        super().__init__(around)  # type: ignore[arg-type]
        self._pass: Callable[[int], None] = lambda count: bench.clock.sleep(count * s_per_byte)

    def read(self, count: int) -> bytes:
        data = bytearray()
        for _ in range(count):
            data += super().read(1)
            self._pass(1)
        return bytes(data)


def numbers(readings: Sequence[Reading]) -> list[int]:
    return [round(float(reading.value or 0) / STEP) for reading in of(readings, "acceleration_x")]


def test_measures_what_it_feels(bench: Bench) -> None:
    found = values(bench, started(bench))
    assert found["acceleration_x"] == pytest.approx(0.5 * G, abs=STEP)
    assert found["acceleration_y"] == pytest.approx(-0.25 * G, abs=STEP)
    assert found["acceleration_z"] == pytest.approx(1.125 * G, abs=STEP)
    assert found["rotation_x"] == pytest.approx(-40.0, abs=0.004)
    assert found["rotation_y"] == pytest.approx(20.0, abs=0.004)
    assert found["rotation_z"] == pytest.approx(-10.0, abs=0.004)
    assert found["temperature"] == pytest.approx(24.0, abs=0.002)


@pytest.mark.parametrize("g", ACCELERATION_RANGES_G)
@pytest.mark.parametrize("dps", ROTATION_RANGES_DPS)
def test_every_range_resolves_its_share(bench: Bench, g: int, dps: int) -> None:
    bench.signals.update(acceleration_g=0.77 * g, rotation_dps=0.77 * dps)
    found = values(bench, started(bench, Mpu6050Settings(acceleration_range_g=g, rotation_range_dps=dps)))
    assert found["acceleration_x"] == pytest.approx(0.77 * g * G, abs=g / 32768 * G)
    assert found["rotation_x"] == pytest.approx(0.77 * dps, abs=dps / 32700)


def test_the_digits_tell_steps_apart(bench: Bench) -> None:
    for g in ACCELERATION_RANGES_G:
        readings = bench.finish(started(bench, Mpu6050Settings(acceleration_range_g=g)).read())
        decimals = of(readings, "acceleration_x")[0].decimals
        assert decimals is not None
        assert g / 32768 * G / 10 < 10**-decimals <= g / 32768 * G


def test_the_ends_of_the_range_are_marked(bench: Bench) -> None:
    bench.signals.update(acceleration_g=3.0, rotation_dps=-300.0)
    readings = {reading.name: reading for reading in bench.finish(started(bench).read())}
    assert readings["acceleration_x"].quality is Quality.CLIPPED
    assert readings["acceleration_x"].value == pytest.approx(2 * G, abs=2 * STEP)
    assert readings["acceleration_y"].quality is Quality.GOOD
    assert readings["rotation_x"].quality is Quality.CLIPPED
    assert readings["rotation_y"].quality is Quality.GOOD


@pytest.mark.parametrize("rate_hz", RATES_HZ[1:])
@pytest.mark.parametrize("parts", Parts)
def test_the_fifo_gives_every_sample_once(bench: Bench, rate_hz: int, parts: Parts) -> None:
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=rate_hz, fifo_parts=parts))
    name = "rotation_x" if parts is Parts.ROTATION else "acceleration_x"
    taken = 0
    begin_s = bench.clock.now_s
    for _ in range(5):
        bench.clock.sleep(30.25 / rate_hz)
        readings = bench.finish(driver.read())
        taken += len(of(readings, name))
        assert len(of(readings, "temperature")) == 1
        assert bool(of(readings, "rotation_z")) == (parts is not Parts.ACCELERATION)
        assert bool(of(readings, "acceleration_z")) == (parts is not Parts.ROTATION)
    assert abs(taken - (bench.clock.now_s - begin_s) * rate_hz) < 1.001  # the chip has a phase of its own


def test_numbered_samples_arrive_without_a_gap(bench: Bench) -> None:
    counting(bench, 1000)
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=1000, fifo_parts=Parts.ACCELERATION))
    found: list[int] = []
    for turn in range(200):
        bench.clock.sleep((37, 81, 150, 3)[turn % 4] / 1000)
        readings = bench.finish(driver.read())
        assert {reading.quality for reading in readings} == {Quality.GOOD}
        found += numbers(readings)
        for x, y in zip(of(readings, "acceleration_x"), of(readings, "acceleration_y"), strict=True):
            assert float(y.value or 0) == pytest.approx(-float(x.value or 0) / 2, abs=STEP)
    assert len(found) > 13_000
    assert found == list(range(found[0], found[0] + len(found)))


def test_samples_have_the_age_at_which_they_were_taken(bench: Bench) -> None:
    begin_s = bench.clock.now_s
    counting(bench, 500, wires_s_per_byte=22.5e-6)
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=500))
    for _ in range(10):
        bench.clock.sleep(0.0713)
        readings = of(bench.finish(driver.read()), "acceleration_x")
        end_s = bench.clock.now_s
        for reading, number in zip(readings, numbers(readings), strict=True):
            assert end_s - reading.age_ns / 1e9 - begin_s == pytest.approx(number / 500, abs=1.1 / 500)
        ages = [reading.age_ns for reading in readings]
        assert all(early - late == 2_000_000 for early, late in pairwise(ages))
        assert min(ages) > 0


def test_an_overflow_is_thrown_away_and_said(bench: Bench) -> None:
    counting(bench, 1000)
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=1000))
    bench.clock.sleep(0.05)
    before = numbers(bench.finish(driver.read()))
    bench.clock.sleep(0.2)
    lost = bench.finish(driver.read())
    motion = [f"{what}_{axis}" for what in ("acceleration", "rotation") for axis in "xyz"]
    assert [(reading.name, reading.quality) for reading in lost] == [
        *((name, Quality.INVALID) for name in motion),
        ("temperature", Quality.GOOD),
    ]
    assert [reading.value for reading in lost[:6]] == [None] * 6
    bench.clock.sleep(0.03)
    after = bench.finish(driver.read())
    assert len(numbers(after)) == 30
    assert numbers(after)[0] > before[-1] + 100
    marked = [reading for reading in after if reading.quality is Quality.OVERRUN]
    assert [reading.name for reading in marked] == [reading.name for reading in after[:6]]
    bench.clock.sleep(0.03)
    following = bench.finish(driver.read())
    assert {reading.quality for reading in following} == {Quality.GOOD}
    assert numbers(following)[0] == numbers(after)[-1] + 1


def test_an_overflow_while_it_is_read_is_noticed(bench: Bench) -> None:
    chip = counting(bench, 1000, wires_s_per_byte=100e-6)  # slower than samples come: 12 bytes take 1.2 ms
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=1000))
    bench.clock.sleep(0.084)
    assert len(chip._fifo) < 1024
    found = bench.finish(driver.read())
    assert {(reading.value, reading.quality) for reading in found[:-1]} == {(None, Quality.INVALID)}
    assert bench.finish(driver.read())[0].quality is Quality.OVERRUN


def test_a_start_in_between_says_that_samples_are_missing(bench: Bench) -> None:
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=100))
    bench.clock.sleep(0.1)
    assert bench.finish(driver.read())[0].quality is Quality.GOOD
    bench.finish(driver.start())
    bench.clock.sleep(0.1)
    assert [reading.quality for reading in bench.finish(driver.read())[:7]] == [Quality.OVERRUN] * 6 + [Quality.GOOD]


def test_a_long_burst_leaves_the_bus_free_in_between(bench: Bench) -> None:
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=1000))
    bench.clock.sleep(0.08)
    steps = driver.read()
    assert not isinstance(steps, list)
    pauses = list(steps)  # type: ignore[arg-type]
    assert pauses == [0.0] * 3


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(bench: Bench) -> None:
    chip = bench.bus.chips[0x68]
    assert isinstance(chip, Mpu6050Chip)
    for settings in (Mpu6050Settings(), Mpu6050Settings(fifo_rate_hz=100)):
        driver = started(bench, settings)
        chip.power_cycle()
        bench.clock.sleep(0.1)
        with pytest.raises(SensorError, match="lost its settings") as caught:
            bench.finish(driver.read())
        assert caught.value.quality is Quality.POWER_LOST
        bench.finish(driver.start())
        bench.clock.sleep(0.1)
        assert values(bench, driver)["acceleration_x"] == pytest.approx(0.5 * G, abs=STEP)


@pytest.mark.parametrize("rate_hz", [0, 1000])
def test_a_chip_that_does_not_measure_is_given_up(bench: Bench, rate_hz: int) -> None:
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=rate_hz))
    bench.clock.sleep(0.01)
    bench.finish(driver.read())
    bench.bus.set_fault(0x68, Fault.SLOW)
    bench.clock.sleep(0.0015)
    bench.finish(driver.read())
    with pytest.raises(SensorError, match="check its supply") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.NOT_READY


def test_a_reset_that_does_not_end_is_given_up(bench: Bench) -> None:
    bench.bus.set_fault(0x68, Fault.SLOW)
    with pytest.raises(SensorError, match="did not finish its reset"):
        started(bench)


@pytest.mark.parametrize("rate_hz", [0, 100])
def test_a_temperature_that_cannot_be_is_no_measurement(bench: Bench, rate_hz: int) -> None:
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=rate_hz))
    bench.bus.set_fault(0x68, Fault.OUT_OF_RANGE)
    bench.clock.sleep(0.1)
    with pytest.raises(SensorError, match=r"-59\.85 °C, outside") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.OUT_OF_RANGE


def test_a_sister_is_named(bench: Bench) -> None:
    bench.bus.set_fault(0x68, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r"0x68: the chip is an MPU-6500: identity 0x70 instead of 0x68") as caught:
        started(bench)
    assert caught.value.quality is Quality.WRONG_CHIP
    assert KIND.identify is not None
    assert not KIND.identify(bench.i2c("main"), 0x68)
    bench.bus.set_fault(0x68, Fault.NONE)
    assert KIND.identify(bench.i2c("main"), 0x68)


def test_settings_that_do_not_arrive_are_noticed(bench: Bench) -> None:
    bench.bus.set_fault(0x68, Fault.CORRUPT)
    with pytest.raises(SensorError):
        started(bench)


def test_closing_puts_it_to_sleep(bench: Bench) -> None:
    started(bench).close()
    assert bench.i2c("main").write_read(0x68, b"\x6b", 1)[0] & 0x40


def test_a_chip_that_is_unplugged_is_absent(bench: Bench) -> None:
    driver = started(bench)
    bench.bus.set_fault(0x68, Fault.ABSENT)
    with pytest.raises(DeviceAbsentError):
        bench.finish(driver.read())


def test_settings_refuse_another_address() -> None:
    with pytest.raises(ValueError, match="0x6a"):
        Mpu6050Settings(address=0x6A)


def test_the_noise_is_that_of_the_chip() -> None:
    bench = Bench(noise=1.0, seed=3)
    bench.signals.update(acceleration_g=0.0, rotation_dps=0.0)
    bench.put(0x68, Mpu6050Chip(bench.around))
    driver = started(bench, Mpu6050Settings(fifo_rate_hz=1000))
    bench.clock.sleep(0.08)
    found = [float(reading.value or 0) for reading in of(bench.finish(driver.read()), "acceleration_x")]
    assert 0.01 < math.sqrt(sum(value * value for value in found) / len(found)) < 0.03
