"""The drivers of thermocouple converters against the simulated chips: readings, broken wires, and what is no frame."""

import pytest

from wayside_edge.drivers.max6675 import Max6675, Max6675Settings
from wayside_edge.drivers.max31855 import Max31855, Max31855Settings
from wayside_edge.errors import BusError
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault, SpiChip
from wayside_firmware.board.chips.max6675 import Max6675Chip
from wayside_firmware.board.chips.max31855 import Max31855Chip, Wiring
from wayside_shared.quality import Quality
from wayside_testkit.chips import play, readings, refusal, started, values
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Tape


def bench31855(tip: float, own: float = 24.0) -> Bench:
    bench = Bench(State(own, 100_000.0, 50.0))
    bench.signals.update(probe_celsius=tip)
    bench.put_spi(0, Max31855Chip(bench.around))
    return bench


def bench6675(tip: float) -> Bench:
    bench = Bench()
    bench.signals.update(probe_celsius=tip)
    bench.put_spi(0, Max6675Chip(bench.around))
    return bench


def max31855(bench: Bench) -> Max31855:
    driver = Max31855(Max31855Settings(), "spi", bench)
    started(bench, driver)
    return driver


def max6675(bench: Bench, *, zero_is_valid: bool = False) -> Max6675:
    driver = Max6675(Max6675Settings(zero_is_valid=zero_is_valid), "spi", bench)
    started(bench, driver)
    return driver


@pytest.mark.parametrize("tip", [-269.9, -200.0, -0.25, 0.0, 0.25, 21.6, 700.1, 1372.0, 1799.8])
@pytest.mark.parametrize("own", [-55.0, -0.07, 24.06, 126.9])
def test_max31855_gives_both_ends_of_the_wire(tip: float, own: float) -> None:
    bench = bench31855(tip, own)
    found = values(bench, max31855(bench))
    assert found["temperature"] == pytest.approx(tip, abs=0.126)
    assert found["cold_junction"] == pytest.approx(own, abs=0.032)


@pytest.mark.parametrize("wiring", [Wiring.OPEN, Wiring.TO_GROUND, Wiring.TO_SUPPLY])
def test_max31855_keeps_the_cold_junction_of_a_broken_thermocouple(wiring: Wiring) -> None:
    bench = bench31855(100.0)
    driver = max31855(bench)
    chip = bench.spi_bus.chips[0]
    assert isinstance(chip, Max31855Chip)
    chip.wiring = wiring
    bench.clock.sleep(0.1)
    found = readings(bench, driver)
    assert (found["temperature"].value, found["temperature"].quality) == (None, Quality.OPEN_CIRCUIT)
    assert (found["cold_junction"].value, found["cold_junction"].quality) == (24.0, Quality.GOOD)
    chip.wiring = Wiring.GOOD
    bench.clock.sleep(0.1)
    assert values(bench, driver)["temperature"] == 100.0


def test_max31855_takes_no_temperature_that_no_thermocouple_has() -> None:
    bench = bench31855(100.0)
    driver = max31855(bench)
    for tip in (-280.0, 1900.0):
        bench.signals.update(probe_celsius=tip)
        bench.clock.sleep(0.1)
        found = readings(bench, driver)
        assert (found["temperature"].value, found["temperature"].quality) == (None, Quality.OUT_OF_RANGE)
        assert found["cold_junction"].value == 24.0


def test_max31855_converts_in_a_tenth_of_a_second() -> None:
    bench = bench31855(100.0)
    driver = max31855(bench)
    values(bench, driver)
    bench.signals.update(probe_celsius=200.0)
    bench.clock.sleep(0.05)
    assert values(bench, driver)["temperature"] == 100.0
    bench.clock.sleep(0.05)
    assert values(bench, driver)["temperature"] == 200.0


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.STUCK])
def test_a_chip_that_is_not_there_is_absent(fault: Fault) -> None:
    for bench, build in ((bench31855(50.0), max31855), (bench6675(50.0), max6675)):
        driver = build(bench)
        bench.spi_bus.set_fault(0, fault)
        for attempt in (driver.read, driver.start):
            quality, message = refusal(lambda act=attempt, at=bench: at.finish(act()))  # type: ignore[misc]
            assert quality is Quality.ABSENT
            assert message.startswith("bus spi, chip select 0: the chip")
            assert "check its power and wiring" in message
        bench.spi_bus.set_fault(0, Fault.NONE)
        started(bench, driver)
        assert values(bench, driver)["temperature"] == 50.0


def test_another_chip_is_no_frame() -> None:
    bench = bench31855(50.0)
    bench.spi_bus.set_fault(0, Fault.WRONG_IDENTITY)
    assert refusal(lambda: max31855(bench))[0] is Quality.CHECKSUM
    bench = bench6675(50.0)
    bench.spi_bus.set_fault(0, Fault.WRONG_IDENTITY)
    assert refusal(lambda: max6675(bench))[0] is Quality.CHECKSUM


@pytest.mark.parametrize("tip", [180.0, 25.25, 0.25])
@pytest.mark.parametrize("wiring", Wiring)
def test_a_max31855_is_no_max6675(tip: float, wiring: Wiring) -> None:
    bench = bench31855(tip)
    chip = bench.spi_bus.chips[0]
    assert isinstance(chip, Max31855Chip)
    chip.wiring = wiring
    quality, message = refusal(lambda: max6675(bench))
    assert quality is Quality.WRONG_CHIP
    assert "set kind = max31855" in message


@pytest.mark.parametrize("is_open", [False, True])
def test_a_max6675_is_no_max31855(is_open: bool) -> None:
    bench = bench6675(180.0)
    chip = bench.spi_bus.chips[0]
    assert isinstance(chip, Max6675Chip)
    chip.open = is_open
    bench.clock.sleep(1.0)
    max6675(bench)
    bench.clock.sleep(1.0)
    quality, message = refusal(lambda: max31855(bench))
    assert quality is Quality.WRONG_CHIP
    assert "as a MAX6675 does" in message


class Socket:
    """A place for a chip that can be exchanged while its chip select is open."""

    def __init__(self, chip: SpiChip) -> None:
        self.fault = Fault.NONE
        self.chip = chip

    def transfer(self, data: bytes) -> bytes:
        return self.chip.transfer(data)


def test_each_in_the_place_of_the_other_is_told() -> None:
    bench = bench31855(180.0)
    one, other = Max31855Chip(bench.around), Max6675Chip(bench.around)
    for build, right, wrong in ((max31855, one, other), (max6675, other, one)):
        socket = Socket(right)
        bench.put_spi(0, socket)
        driver = build(bench)
        bench.clock.sleep(1.0)
        assert values(bench, driver)["temperature"] == 180.0
        socket.chip = wrong
        bench.clock.sleep(1.0)
        assert refusal(lambda act=driver: bench.finish(act.read()))[0] is Quality.WRONG_CHIP  # type: ignore[misc]


def test_a_max31855_that_takes_a_max6675s_place_during_its_conversion_is_told() -> None:
    bench = bench6675(180.0)
    socket = Socket(Max6675Chip(bench.around))
    bench.put_spi(0, socket)
    steps = max6675(bench).read()
    bench.clock.sleep(next(steps))
    socket.chip = Max31855Chip(bench.around)
    assert refusal(lambda: bench.finish(steps))[0] is Quality.WRONG_CHIP


def test_a_cold_junction_that_passes_zero_is_a_measurement() -> None:
    bench = bench31855(180.0, 0.5)
    driver = max31855(bench)
    for own in (0.5, 0.0, 0.0, -0.5, 0.0):
        bench.state = State(own, 100_000.0, 50.0)
        bench.clock.sleep(1.0)
        assert values(bench, driver) == {"temperature": 180.0, "cold_junction": own}


@pytest.mark.parametrize("rest", ["0000", "ffff", "0008", "0011"])
def test_what_follows_the_frame_of_a_max6675_is_not_taken_for_a_max31855(rest: str) -> None:
    tape = Tape(*[("00000000", "0b40" + rest)] * 3, address=None)
    (found,) = play(tape, Max6675(Max6675Settings(), "spi", tape))
    assert found.value == 90.0


def test_noise_after_the_frame_of_a_max6675_is_not_taken_for_a_max31855() -> None:
    noise = (("00000000", "0b401230"), ("00000000", "0b40ffff"))
    tape = Tape(*noise, *noise, *noise, address=None)
    (found,) = play(tape, Max6675(Max6675Settings(), "spi", tape))
    assert found.value == 90.0


def test_a_bus_that_fails_is_a_bus_error() -> None:
    bench = bench31855(50.0)
    driver = max31855(bench)
    bench.spi_bus.set_fault(0, Fault.TIMEOUT)
    with pytest.raises(BusError):
        bench.finish(driver.read())


@pytest.mark.parametrize("tip", [0.25, 21.6, 700.1, 1023.5])
def test_max6675_gives_the_tip(tip: float) -> None:
    bench = bench6675(tip)
    assert values(bench, max6675(bench))["temperature"] == pytest.approx(tip, abs=0.126)


def test_max6675_measures_when_it_is_read() -> None:
    bench = bench6675(100.0)
    driver = max6675(bench)
    for tip in (200.0, 300.0, 250.0):
        bench.clock.sleep(60.0)
        bench.signals.update(probe_celsius=tip)
        begin_s = bench.clock.now_s
        assert values(bench, driver)["temperature"] == tip
        assert bench.clock.now_s - begin_s == pytest.approx(0.22)


def test_max6675_says_when_it_is_open() -> None:
    bench = bench6675(100.0)
    driver = max6675(bench)
    for fault, quality in ((Fault.OUT_OF_RANGE, Quality.OPEN_CIRCUIT), (Fault.NONE, None)):
        bench.spi_bus.set_fault(0, fault)
        bench.clock.sleep(1.0)
        if quality is None:
            assert values(bench, driver)["temperature"] == 100.0
        else:
            found, message = refusal(lambda: bench.finish(driver.read()))
            assert found is quality
            assert "has no thermocouple" in message


def test_max6675_marks_the_ends_of_its_range() -> None:
    bench = bench6675(1100.0)
    found = readings(bench, max6675(bench))["temperature"]
    assert (found.value, found.quality) == (1023.75, Quality.CLIPPED)
    bench = bench6675(-5.0)
    assert refusal(lambda: bench.finish(max6675(bench).read()))[0] is Quality.ABSENT
    found = readings(bench, max6675(bench, zero_is_valid=True))["temperature"]
    assert (found.value, found.quality) == (0.0, Quality.CLIPPED)
