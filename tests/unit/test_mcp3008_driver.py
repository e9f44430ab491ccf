"""The MCP3008 driver against the simulated chip: inputs, scales, pairs, and what is no measurement."""

import pytest

from wayside_edge.drivers.mcp3008 import Mcp3008, Mcp3008Channel, Mcp3008Settings
from wayside_edge.errors import BusError, SensorError
from wayside_edge.ports import Reading
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.mcp3008 import Mcp3008Chip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

STEP = 3.3 / 1024


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.signals.update(volt=2.0)
    bench.put_spi(0, Mcp3008Chip(bench.around))
    return bench


def started(bench: Bench, *channels: Mcp3008Channel, zero_is_valid: bool = False) -> Mcp3008:
    chosen = list(channels or (Mcp3008Channel(input="0", name="level"),))
    driver = Mcp3008(Mcp3008Settings(channels=chosen, zero_is_valid=zero_is_valid), "spi", bench)
    bench.finish(driver.start())
    return driver


def read(bench: Bench, *channels: Mcp3008Channel) -> dict[str, Reading]:
    return {reading.name: reading for reading in bench.finish(started(bench, *channels).read())}


def test_all_eight_inputs_in_the_order_of_the_configuration(bench: Bench) -> None:
    chosen = [Mcp3008Channel(input=str(number), name=f"in{number}") for number in (3, 0, 1, 2, 7, 6, 5, 4)]
    found = read(bench, *chosen)
    assert list(found) == [channel.name for channel in chosen]
    for channel in chosen:
        assert found[channel.name].value == pytest.approx(2.0 * (8 - int(channel.input)) / 8, abs=STEP)
        assert found[channel.name].unit == "V"
        assert found[channel.name].quality is Quality.GOOD


def test_a_scale_makes_it_the_quantity(bench: Bench) -> None:
    found = read(bench, Mcp3008Channel(input="0", name="level", unit="m", scale=1.25, offset=-0.5))
    assert found["level"].value == pytest.approx(2.0 * 1.25 - 0.5, abs=1.25 * STEP)
    assert found["level"].unit == "m"
    assert found["level"].decimals == 3


@pytest.mark.parametrize(("scale", "decimals"), [(1.0, 3), (1000.0, 0), (-0.01, 5), (1e6, 0)])
def test_the_digits_tell_steps_apart(bench: Bench, scale: float, decimals: int) -> None:
    assert read(bench, Mcp3008Channel(input="0", name="x", scale=scale))["x"].decimals == decimals


def test_pairs_subtract_and_do_not_go_below_zero(bench: Bench) -> None:
    found = read(
        bench,
        Mcp3008Channel(input="2-3", name="forth"),
        Mcp3008Channel(input="3-2", name="back"),
        Mcp3008Channel(input="6-7", name="other"),
    )
    assert found["forth"].value == pytest.approx(0.25, abs=STEP)
    assert found["forth"].quality is Quality.GOOD
    assert (found["back"].value, found["back"].quality) == (0.0, Quality.CLIPPED)
    assert found["other"].value == pytest.approx(0.25, abs=STEP)


def test_the_upper_end_is_marked(bench: Bench) -> None:
    bench.signals.update(volt=3.4)
    found = read(bench, Mcp3008Channel(input="0", name="high"), Mcp3008Channel(input="1", name="low"))
    assert found["high"].value == pytest.approx(3.3 - STEP)
    assert found["high"].quality is Quality.CLIPPED
    assert found["low"].quality is Quality.GOOD


def test_the_last_code_below_the_end_is_good(bench: Bench) -> None:
    bench.signals.update(volt=3.3 - 1.5 * STEP)
    reading = read(bench, Mcp3008Channel(input="0", name="high"))["high"]
    assert (reading.value, reading.quality) == (pytest.approx(3.3 - 2 * STEP), Quality.GOOD)


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.STUCK])
def test_a_chip_that_is_not_there_is_absent(bench: Bench, fault: Fault) -> None:
    driver = started(bench)
    bench.spi_bus.set_fault(0, fault)
    for attempt in (driver.read, driver.start):
        with pytest.raises(SensorError, match=r"bus spi, chip select 0: the chip .* check its power") as caught:
            bench.finish(attempt())
        assert caught.value.quality is Quality.ABSENT
    bench.spi_bus.set_fault(0, Fault.NONE)
    driver.start()
    assert bench.finish(driver.read())[0].value == pytest.approx(2.0, abs=STEP)


def test_one_input_at_zero_is_a_measurement(bench: Bench) -> None:
    driver = started(bench, Mcp3008Channel(input="1-0", name="none"))
    assert [(r.value, r.quality) for r in bench.finish(driver.read())] == [(0.0, Quality.CLIPPED)]


def test_all_inputs_at_zero_are_a_measurement_when_they_may_be(bench: Bench) -> None:
    bench.signals.update(volt=0.0)
    driver = started(bench, zero_is_valid=True)
    assert [(r.value, r.quality) for r in bench.finish(driver.read())] == [(0.0, Quality.CLIPPED)]


def test_noise_on_the_wires_is_noticed(bench: Bench) -> None:
    driver = started(bench)
    bench.spi_bus.set_fault(0, Fault.CORRUPT)
    with pytest.raises(SensorError, match="backwards; shorten the wires") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is Quality.CHECKSUM


def test_the_12_bit_sister_is_noticed(bench: Bench) -> None:
    bench.spi_bus.set_fault(0, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match="is it an MCP3208"):
        started(bench)


def test_an_over_voltage_is_clipped(bench: Bench) -> None:
    driver = started(bench)
    bench.spi_bus.set_fault(0, Fault.OUT_OF_RANGE)
    assert bench.finish(driver.read())[0].quality is Quality.CLIPPED


def test_a_bus_that_fails_is_a_bus_error(bench: Bench) -> None:
    driver = started(bench)
    bench.spi_bus.set_fault(0, Fault.TIMEOUT)
    with pytest.raises(BusError):
        bench.finish(driver.read())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Mcp3008Channel(input="0", name="x", scale=0.0), "scale = 0"),
        (lambda: Mcp3008Settings(channels=[]), "empty"),
        (lambda: Mcp3008Settings(channels=[Mcp3008Channel(input=str(n), name="x") for n in (0, 1)]), "name 'x'"),
    ],
)
def test_settings_that_cannot_be(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=message):
        wrong()
