"""Contacts, counters and outputs on a simulated GPIO controller, and the choice of the library on real ones."""

import errno
from pathlib import Path
from typing import cast

import gpiod
import pytest
from gpiod.line_request import LineRequest

from wayside_edge.drivers.gpio import (
    DigitalInput,
    DigitalInputSettings,
    DigitalOutput,
    DigitalOutputSettings,
    PulseCounter,
    PulseCounterSettings,
)
from wayside_edge.drivers.gpio.pulse_counter import Per
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.hal.gpio import Backend, Gpio, GpioSettings, controller
from wayside_edge.hal.gpio_chip import GpiodController, GpiodInput
from wayside_edge.ports import EdgeKind, Pull
from wayside_firmware.board.gpio import SimulatedGpio, SimulatedLine
from wayside_shared.quality import Quality
from wayside_shared.settings import Table
from wayside_testkit.sensing import Bench, ManualClock

MS = 1_000_000


class Pins:
    """A simulated controller with a line 17, on a bench whose clock the test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.board = SimulatedGpio({"17": SimulatedLine()}, self.clock.boottime_ns)
        self.bench = Bench()
        self.bench.pins = Gpio("pins", lambda: self.board, self.clock.boottime_ns)

    def drive(self, *levels: bool, every_ns: int = MS) -> None:
        for level in levels:
            self.clock.now_ns += every_ns
            self.board.drive("17", level)


@pytest.fixture
def pins() -> Pins:
    return Pins()


def contact(pins: Pins, **settings: object) -> DigitalInput:
    driver = DigitalInput(DigitalInputSettings(line="17", **settings), "pins", pins.bench)
    driver.start()
    return driver


def counter(pins: Pins, **settings: object) -> PulseCounter:
    driver = PulseCounter(PulseCounterSettings(line="17", **settings), "pins", pins.bench)
    driver.start()
    return driver


def output(pins: Pins, **settings: object) -> DigitalOutput:
    driver = DigitalOutput(DigitalOutputSettings(line="17", **settings), "pins", pins.bench)
    driver.start()
    return driver


def test_each_change_has_its_own_age_and_the_state_comes_last(pins: Pins) -> None:
    door = contact(pins, pull=Pull.DOWN)
    pins.drive(True, False, True)
    pins.clock.now_ns += 5 * MS
    found = [(each.name, each.value, each.age_ns, each.quality) for each in door.read()]
    assert found == [
        ("state", True, 7 * MS, Quality.GOOD),
        ("state", False, 6 * MS, Quality.GOOD),
        ("state", True, 5 * MS, Quality.GOOD),
        ("state", True, 0, Quality.GOOD),
    ]
    assert [(each.value, each.age_ns) for each in door.read()] == [(True, 0)]


def test_active_low_turns_states_and_changes(pins: Pins) -> None:
    door = contact(pins, pull=Pull.UP, active_low=True)
    assert [each.value for each in door.read()] == [False]
    pins.drive(False)
    assert [each.value for each in door.read()] == [True, True]


def test_without_changes_there_is_only_the_state(pins: Pins) -> None:
    door = contact(pins, pull=Pull.DOWN, edges=False)
    pins.drive(True, False, True)
    assert [each.value for each in door.read()] == [True]


def test_a_bounce_is_no_change(pins: Pins) -> None:
    door = contact(pins, pull=Pull.DOWN, debounce_s=0.02)
    pins.drive(True, False, True, False, True)
    pins.clock.now_ns += 50 * MS
    assert [(each.value, each.age_ns) for each in door.read()] == [(True, 30 * MS), (True, 0)]


def test_lost_changes_mark_the_sample_that_follows_them(pins: Pins) -> None:
    door = contact(pins, pull=Pull.DOWN)
    pins.drive(*[turn % 2 == 0 for turn in range(1100)])
    found = door.read()
    assert len(found) == 1025
    assert [each.quality for each in found[:2]] == [Quality.OVERRUN, Quality.GOOD]
    assert {each.quality for each in door.read()} == {Quality.GOOD}


def test_energy_of_a_meter_with_an_s0_output(pins: Pins) -> None:
    meter = counter(pins, unit="W.h", factor=1.0, rate_per=Per.HOUR, rate_unit="W", pull=Pull.UP, active_low=True)
    pins.drive(*[False, True] * 5, every_ns=1000 * MS)
    total, rate = meter.read()
    assert (total.name, total.value, total.unit, total.decimals) == ("total", 5.0, "W.h", 1)
    assert (rate.name, rate.value, rate.unit) == ("rate", pytest.approx(5 * 3600 / 10), "W")
    pins.clock.now_ns += 10_000 * MS
    assert [each.value for each in meter.read()] == [5.0, 0.0]


@pytest.mark.parametrize(("edge", "count"), [(EdgeKind.RISING, 2), (EdgeKind.FALLING, 1), (EdgeKind.BOTH, 3)])
def test_the_changes_that_count(pins: Pins, edge: EdgeKind, count: int) -> None:
    meter = counter(pins, edge=edge, pull=Pull.DOWN)
    pins.drive(True, False, True)
    total, rate = meter.read()
    assert total.value == count
    assert rate.unit == "{count}/s"
    assert rate.value == pytest.approx(count / 0.003)


def test_a_factor_gives_its_digits(pins: Pins) -> None:
    rain = counter(pins, factor=0.2794, unit="mm", rate_per=Per.HOUR, pull=Pull.DOWN)
    pins.drive(*[True, False] * 3)
    total, rate = rain.read()
    assert total.value == pytest.approx(0.8382)
    assert (total.decimals, rate.unit) == (4, "mm/h")


def test_pulses_beyond_the_buffer_are_counted_and_marked(pins: Pins) -> None:
    meter = counter(pins, pull=Pull.DOWN)
    pins.drive(*[True, False] * 3000)
    total, rate = meter.read()
    assert (total.value, total.quality, rate.quality) == (3000, Quality.OVERRUN, Quality.OVERRUN)
    assert {each.quality for each in meter.read()} <= {Quality.GOOD}


def test_the_total_goes_on_when_the_line_comes_back_and_says_that_some_may_be_missing(pins: Pins) -> None:
    meter = counter(pins, pull=Pull.DOWN)
    pins.drive(True, False)
    meter.read()
    pins.board.fault = errno.ENODEV
    with pytest.raises(BusError, match="bus pins, line 17: the controller is gone"):
        meter.read()
    with pytest.raises(BusError):
        meter.start()
    pins.board.fault = None
    meter.start()
    pins.drive(True, False)
    assert [(each.value, each.quality) for each in meter.read()[:1]] == [(2.0, Quality.OVERRUN)]
    pins.clock.now_ns += MS
    assert {each.quality for each in meter.read()} == {Quality.GOOD}


@pytest.mark.parametrize("active_low", [False, True])
@pytest.mark.parametrize("initial", [False, True])
def test_an_output_holds_its_state_and_is_left_safe(pins: Pins, active_low: bool, initial: bool) -> None:
    valve = output(pins, active_low=active_low, initial=initial, safe=not initial)
    line = pins.board.lines["17"]
    assert line.output
    assert line.level is (initial != active_low)
    assert [(each.name, each.value) for each in valve.read()] == [("state", initial)]
    valve.close()
    assert line.level is (initial == active_low)
    assert not line.taken


def test_an_output_that_reads_otherwise_is_shorted(pins: Pins) -> None:
    valve = output(pins, initial=True)
    pins.board.lines["17"].level = False
    with pytest.raises(SensorError, match="reads False and is driven True"):
        valve.read()


def test_closing_when_the_controller_is_gone_says_nothing(pins: Pins) -> None:
    valve = output(pins)
    pins.board.fault = errno.ENODEV
    valve.close()
    assert not pins.board.lines["17"].taken


def test_a_line_that_something_else_has(pins: Pins) -> None:
    contact(pins)
    with pytest.raises(BusError, match=r"bus pins, line 17: something else has it.*gpioinfo"):
        counter(pins)


def test_a_simulated_line_pulses_by_itself(pins: Pins) -> None:
    pins.board.lines["17"] = SimulatedLine(pulses_hz=10.0, begun_ns=pins.clock.now_ns)
    meter = counter(pins)
    pins.clock.now_ns += 1000 * MS
    total, rate = meter.read()
    assert (total.value, rate.value) == (10.0, pytest.approx(10.0))


def test_a_bus_of_a_configuration_has_its_lines() -> None:
    settings = BusSettings(name="pins", kind="simulated-gpio", options=Table({"lines": [{"line": "4", "level": True}]}))
    buses = Buses([settings])
    assert buses.family("pins") == "gpio"
    door = DigitalInput(DigitalInputSettings(line="4"), "pins", buses)
    door.start()
    assert [each.value for each in door.read()] == [True]


class Request:
    """A line request of libgpiod whose kernel numbers changes, and keeps the last 3."""

    offsets = (17,)

    def __init__(self) -> None:
        self._events: list[gpiod.EdgeEvent] = []
        self._number = 0

    def happen(self, *levels: bool) -> None:
        for level in levels:
            self._number += 1
            kind = gpiod.EdgeEvent.Type.RISING_EDGE if level else gpiod.EdgeEvent.Type.FALLING_EDGE
            self._events.append(gpiod.EdgeEvent(kind.value, self._number * MS, 17, self._number, self._number))
        del self._events[:-3]

    def wait_edge_events(self, _timeout: object) -> bool:
        return bool(self._events)

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        events, self._events = self._events, []
        return events


def test_the_kernels_numbers_tell_how_many_changes_were_lost() -> None:
    request = Request()
    line = GpiodInput(cast(LineRequest, request), has_edges=True)
    request.happen(True, False)
    assert line.take() == ([(True, MS), (False, 2 * MS)], 0)
    request.happen(True, False, True, False, True, False)
    assert line.take() == ([(False, 6 * MS), (True, 7 * MS), (False, 8 * MS)], 3)
    request.happen(True)
    assert line.take() == ([(True, 9 * MS)], 0)
    assert line.take() == ([], 0)


@pytest.mark.parametrize("chip", ["/dev/gpiochip-none", "no-such-label"])
def test_a_controller_that_is_not_there_is_named(chip: str) -> None:
    with pytest.raises(FileNotFoundError, match=chip):
        GpiodController(chip)


@pytest.mark.parametrize(
    ("model", "backend", "chosen"),
    [
        ("Radxa ROCK 4C+\0", Backend.AUTO, "gpiod"),
        (None, Backend.AUTO, "gpiod"),
        ("Raspberry Pi 4 Model B Rev 1.4\0", Backend.GPIOD, "gpiod"),
        ("Raspberry Pi 4 Model B Rev 1.4\0", Backend.AUTO, "gpiozero"),
        (None, Backend.GPIOZERO, "gpiozero"),
    ],
)
def test_the_board_decides_which_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str | None, backend: Backend, chosen: str
) -> None:
    monkeypatch.chdir(tmp_path)  # lgpio leaves a pipe where it is loaded
    file = tmp_path / "model"
    if model is not None:
        file.write_text(model)
    settings = GpioSettings(chip="/dev/gpiochip-none", backend=backend)
    # Neither finds a controller here, and each says so in its way.
    with pytest.raises(OSError, match="gpiochip-none" if chosen == "gpiod" else 'backend = "gpiod"'):
        controller(settings, file)
