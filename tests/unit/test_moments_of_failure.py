"""What drivers give when a supply fails, or another chip takes a chip's place, at any transaction of a read."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from wayside_edge.drivers.ads1115 import Ads1115, Ads1115Channel, Ads1115Settings
from wayside_edge.drivers.ina219 import Ina219, Ina219Settings
from wayside_edge.drivers.ina219.settings import Mode as Mode219
from wayside_edge.drivers.ina226 import Ina226, Ina226Settings
from wayside_edge.drivers.ina226.settings import Mode as Mode226
from wayside_edge.drivers.tmp102 import Tmp102, Tmp102Settings
from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.drivers.tmp117.settings import Mode as Mode117
from wayside_edge.errors import BusError, SensorError
from wayside_edge.ports import Driver, Reading
from wayside_firmware.board import chips
from wayside_shared.quality import Quality
from wayside_testkit.chips import started
from wayside_testkit.sensing import Bench

SHARING = {0x48: ("ads1115", "lm75", "tmp102", "tmp117"), 0x40: ("ina219", "ina226")}
"""Models of chips by an address that they share."""
CASES: list[tuple[str, int, Callable[[str, Bench], Driver]]] = [
    ("ads1115", 0x48, lambda bus, bench: Ads1115(_inputs(), bus, bench)),
    ("tmp102", 0x48, lambda bus, bench: Tmp102(Tmp102Settings(), bus, bench)),
    ("tmp102", 0x48, lambda bus, bench: Tmp102(Tmp102Settings(extended=True), bus, bench)),
    *(
        ("tmp117", 0x48, lambda bus, bench, mode=mode: Tmp117(Tmp117Settings(mode=mode), bus, bench))  # type: ignore[misc]
        for mode in Mode117
    ),
    *(
        ("ina219", 0x40, lambda bus, bench, mode=mode: Ina219(Ina219Settings(mode=mode), bus, bench))  # type: ignore[misc]
        for mode in Mode219
    ),
    *(
        ("ina226", 0x40, lambda bus, bench, mode=mode: Ina226(Ina226Settings(mode=mode), bus, bench))  # type: ignore[misc]
        for mode in Mode226
    ),
]
READS = 3


def _inputs() -> Ads1115Settings:
    return Ads1115Settings(channels=[Ads1115Channel(name="in", input="0"), Ads1115Channel(name="half", input="1")])


class Rig:
    """A driver on a bus that does something at a given transaction."""

    def __init__(self, model: str, address: int, build: Callable[[str, Bench], Driver]) -> None:
        self.bench = Bench()
        self.bench.signals.update(volt=1.65, ampere=0.5, bus_volt=12.0)
        self.address = address
        self.put(model)
        self.driver = build("main", self.bench)
        self.transactions = 0
        self.event: Callable[[], None] = lambda: None
        self.due = 0
        transfer = self.bench.bus.i2c_rdwr

        def counted(*messages: Any) -> None:
            self.transactions += 1
            if self.transactions == self.due:
                self.event()
            transfer(*messages)

        self.bench.bus.i2c_rdwr = counted  # type: ignore[method-assign]

    def put(self, model: str) -> None:
        self.bench.put(self.address, chips.load(model).build(self.bench.around))  # type: ignore[arg-type]

    def power_cycle(self) -> None:
        self.bench.bus.chips[self.address].power_cycle()  # type: ignore[attr-defined]

    def read(self) -> Sequence[Reading]:
        self.bench.clock.sleep(1.0)
        return self.bench.finish(self.driver.read())

    def good(self) -> tuple[dict[str, float], Quality | None]:
        """All the good values of some reads with an event in the first, and what ended them."""
        found: dict[str, float] = {}
        try:
            for _ in range(READS):
                for reading in self.read():
                    if reading.quality is Quality.GOOD:
                        found.setdefault(reading.name, float(reading.value or 0))
                        if abs(float(reading.value or 0) - found[reading.name]) > 1e-9:
                            found[reading.name] = float("nan")
        except SensorError as error:
            return found, error.quality
        except BusError:
            return found, Quality.BUS_FAULT
        return found, None


def ready(model: str, address: int, build: Callable[[str, Bench], Driver]) -> tuple[Rig, dict[str, float], int]:
    """A rig that has read once, what it gave, and how many transactions a read has."""
    rig = Rig(model, address, build)
    started(rig.bench, rig.driver)
    expected = {reading.name: float(reading.value or 0) for reading in rig.read()}
    before = rig.transactions
    rig.read()
    return rig, expected, rig.transactions - before


@pytest.mark.parametrize(("model", "address", "build"), CASES, ids=[case[0] for case in CASES])
def test_a_supply_that_fails_at_any_moment_makes_no_good_number(
    model: str, address: int, build: Callable[[str, Bench], Driver]
) -> None:
    count = ready(model, address, build)[2]
    for moment in range(1, count + 1):
        rig, expected, _ = ready(model, address, build)
        rig.due, rig.event = rig.transactions + moment, rig.power_cycle
        found, _ = rig.good()
        assert found == {name: pytest.approx(expected[name]) for name in found}, f"at transaction {moment} of {count}"


@pytest.mark.parametrize(
    ("model", "address", "build", "other"),
    [(*case, other) for case in CASES for other in SHARING[case[1]] if other != case[0]],
    ids=[f"{case[0]}-{other}" for case in CASES for other in SHARING[case[1]] if other != case[0]],
)
def test_another_chip_in_its_place_makes_no_good_number(
    model: str, address: int, build: Callable[[str, Bench], Driver], other: str
) -> None:
    count = ready(model, address, build)[2]
    for moment in range(1, count + 1):
        rig, expected, _ = ready(model, address, build)
        rig.due, rig.event = rig.transactions + moment, lambda rig=rig: rig.put(other)  # type: ignore[misc]
        found, ended = rig.good()
        assert found == {name: pytest.approx(expected[name]) for name in found}, f"at transaction {moment} of {count}"
        assert ended is not None
        with pytest.raises(SensorError) as caught:
            started(rig.bench, rig.driver)
        assert caught.value.quality is Quality.WRONG_CHIP


def test_a_tmp102_in_the_place_of_a_tmp117_is_named_so() -> None:
    rig, _, _ = ready("tmp117", 0x48, lambda bus, bench: Tmp117(Tmp117Settings(), bus, bench))
    rig.put("tmp102")
    assert rig.good() == ({}, Quality.WRONG_CHIP)


def test_an_ads1115_in_the_place_of_a_tmp102_is_named_so() -> None:
    rig, _, _ = ready("tmp102", 0x48, lambda bus, bench: Tmp102(Tmp102Settings(), bus, bench))
    rig.put("ads1115")
    assert rig.good() == ({}, Quality.WRONG_CHIP)
