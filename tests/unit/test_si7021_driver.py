"""The drivers of Si7021 and HTU21D against the simulated chips: states and mistakes."""

from collections.abc import Callable

import pytest

from wayside_edge import registry
from wayside_edge.drivers.si7021 import Htu21d, Htu21dSettings, Si7021, Si7021Settings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.ports import Driver
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.htu21d import Htu21dChip
from wayside_firmware.board.chips.si7021 import Si7021Chip
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench

CHIPS = {"si7021": Si7021Chip, "htu21d": Htu21dChip}
RIGHT = [(pytest.approx(21.37, abs=0.0095), Quality.GOOD), (pytest.approx(43.21, abs=0.008), Quality.GOOD)]


@pytest.fixture
def bench() -> Bench:
    return Bench(State(21.37, 98_765.4, 43.21))


@pytest.fixture(params=CHIPS)
def name(request: pytest.FixtureRequest, bench: Bench) -> str:
    found: str = request.param
    bench.put(0x40, CHIPS[found](bench.around))
    return found


def chip(bench: Bench) -> Si7021Chip:
    found = bench.bus.chips[0x40]
    assert isinstance(found, Si7021Chip)
    return found


def started(bench: Bench, name: str) -> Driver:
    builders: dict[str, Callable[[], Driver]] = {
        "si7021": lambda: Si7021(Si7021Settings(), "main", bench),
        "htu21d": lambda: Htu21d(Htu21dSettings(), "main", bench),
    }
    driver = builders[name]()
    bench.finish(driver.start())
    return driver


def values(bench: Bench, driver: Driver) -> list[tuple[float, Quality]]:
    return [(float(reading.value or 0), reading.quality) for reading in bench.finish(driver.read())]


def test_measures_what_is_there_in_its_time(bench: Bench, name: str) -> None:
    driver = started(bench, name)
    before_s = bench.clock.now_s
    assert values(bench, driver) == RIGHT
    assert bench.clock.now_s - before_s == pytest.approx({"si7021": 0.0336, "htu21d": 0.066}[name])
    bench.state = State(-11.0, 1e5, 88.0)
    assert values(bench, driver)[0][0] == pytest.approx(-11.0, abs=0.0095)


@pytest.mark.parametrize(("percent", "given"), [(-3.0, 0.0), (105.0, 100.0)])
def test_humidity_beyond_what_there_is_is_cut_and_marked(bench: Bench, name: str, percent: float, given: float) -> None:
    bench.state = State(20.0, 1e5, percent)
    assert values(bench, started(bench, name))[1] == (given, Quality.CLIPPED)


@pytest.mark.parametrize("celsius", [-40.0, 125.0])
def test_the_ends_of_the_range(bench: Bench, name: str, celsius: float) -> None:
    bench.state = State(celsius, 1e5, 50.0)
    assert values(bench, started(bench, name))[0] == (pytest.approx(celsius, abs=0.011), Quality.GOOD)


def test_a_supply_that_is_too_low_is_marked(bench: Bench, name: str) -> None:
    driver = started(bench, name)
    chip(bench).supply_low = True
    assert {quality for _, quality in values(bench, driver)} == {Quality.UNSTABLE}
    chip(bench).supply_low = False
    assert values(bench, driver) == RIGHT


@pytest.mark.parametrize(
    ("fault", "quality", "words"),
    [
        (Fault.OUT_OF_RANGE, Quality.OUT_OF_RANGE, "gives 128.8"),
        (Fault.SLOW, Quality.NOT_READY, "did not finish a measurement"),
        (Fault.CORRUPT, Quality.CHECKSUM, "a checksum that does not fit"),
    ],
)
def test_what_is_no_measurement_is_an_error_and_start_mends_it(
    bench: Bench, name: str, fault: Fault, quality: Quality, words: str
) -> None:
    driver = started(bench, name)
    bench.bus.set_fault(0x40, fault)
    with pytest.raises(SensorError, match=f"address 0x40: the chip .*{words}") as caught:
        bench.finish(driver.read())
    assert caught.value.quality is quality
    bench.bus.set_fault(0x40, Fault.NONE)
    bench.clock.sleep(5.0)
    bench.finish(driver.start())
    assert values(bench, driver) == RIGHT


@pytest.mark.parametrize("fault", [Fault.ABSENT, Fault.TIMEOUT, Fault.STUCK])
def test_a_bus_that_fails_is_a_bus_error(bench: Bench, name: str, fault: Fault) -> None:
    driver = started(bench, name)
    bench.bus.set_fault(0x40, fault)
    with pytest.raises(BusError) as caught:
        bench.finish(driver.read())
    assert isinstance(caught.value, DeviceAbsentError) == (fault is Fault.ABSENT)


def test_a_dip_of_the_supply_costs_one_measurement_at_most(bench: Bench, name: str) -> None:
    driver = started(bench, name)
    steps = driver.read()
    next(iter(steps))
    chip(bench).power_cycle()
    with pytest.raises(SensorError) as caught:
        bench.finish(steps)
    assert caught.value.quality is Quality.NOT_READY
    assert values(bench, driver) == RIGHT


def test_the_other_chip_is_refused_by_name(bench: Bench, name: str) -> None:
    bench.bus.set_fault(0x40, Fault.WRONG_IDENTITY)
    words = {
        "si7021": r"is no Si7021 \(0x32\); an HTU21D wants",
        "htu21d": r'is a Si7021 \(0x15\); say kind = "si7021"',
    }
    with pytest.raises(SensorError, match=words[name]) as caught:
        started(bench, name)
    assert caught.value.quality is Quality.WRONG_CHIP


def test_noise_at_the_start_is_refused(bench: Bench, name: str) -> None:
    bench.bus.set_fault(0x40, Fault.CORRUPT)
    with pytest.raises(SensorError, match="without the right checksum"):
        started(bench, name)


def test_each_is_told_from_the_other(bench: Bench, name: str) -> None:
    found = []
    for each in CHIPS:
        kind = registry.load(each)
        assert kind is not None
        assert kind.identify is not None
        if kind.identify(bench.i2c("main"), 0x40):
            found.append(each)
    assert found == [name]


class LedDriver:
    """A PCA9685 as far as it matters: what is written to 0xFC turns lamps off."""

    def __init__(self) -> None:
        self.fault = Fault.NONE
        self.registers = bytearray(256)
        self.pointer = 0

    def write(self, data: bytes) -> None:
        if data:
            self.pointer = data[0]
            self.registers[self.pointer : self.pointer + len(data) - 1] = data[1:]

    def read(self, count: int) -> bytes:
        return bytes(self.registers[self.pointer : self.pointer + count])


@pytest.mark.parametrize("kind", CHIPS)
def test_a_scan_changes_nothing_in_a_chip_that_shares_the_address(bench: Bench, kind: str) -> None:
    lamps = LedDriver()
    bench.put(0x40, lamps)
    loaded = registry.load(kind)
    assert loaded is not None
    assert loaded.identify is not None
    assert not loaded.identify(bench.i2c("main"), 0x40)
    assert lamps.registers == bytes(256)
