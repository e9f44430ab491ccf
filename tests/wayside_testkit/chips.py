"""What tests of drivers on simulated chips share."""

from collections.abc import Callable

from wayside_edge.errors import SensorError
from wayside_edge.ports import Driver, I2cBus, Reading
from wayside_shared.quality import Quality
from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Tape


def readings(bench: Bench, driver: Driver) -> dict[str, Reading]:
    """What one read gives, by name."""
    return {reading.name: reading for reading in bench.finish(driver.read())}


def values(bench: Bench, driver: Driver) -> dict[str, float]:
    """The numbers that one read gives, by name; all must have one."""
    found = readings(bench, driver)
    assert all(isinstance(reading.value, float | int) for reading in found.values()), found
    return {name: float(reading.value or 0) for name, reading in found.items()}


def started(bench: Bench, driver: Driver) -> Driver:
    """`driver`, started."""
    bench.finish(driver.start())
    return driver


def refusal(act: Callable[[], object]) -> tuple[Quality, str]:
    """The quality and the message of the `SensorError` that `act` raises."""
    try:
        act()
    except SensorError as error:
        return error.quality, str(error)
    raise AssertionError("no SensorError")


def play(tape: Tape, driver: Driver) -> list[Reading]:
    """Start `driver`, read once and close it over a recorded conversation, which must be said to its end."""
    bench = Bench()
    bench.finish(driver.start())
    found = list(bench.finish(driver.read()))
    driver.close()
    assert tape.rest() == 0
    return found


class Slow(I2cBus):
    """A bus on which each transaction takes a millisecond of the bench's time, for drivers that wait by asking."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._bus = bench.i2c("main")

    def write(self, address: int, data: bytes) -> None:
        self._bench.clock.sleep(0.001)
        self._bus.write(address, data)

    def read(self, address: int, count: int) -> bytes:
        self._bench.clock.sleep(0.001)
        return self._bus.read(address, count)

    def write_read(self, address: int, data: bytes, count: int) -> bytes:
        self._bench.clock.sleep(0.001)
        return self._bus.write_read(address, data, count)

    def close(self) -> None:
        self._bus.close()
