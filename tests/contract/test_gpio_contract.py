"""What every GPIO controller does: the simulated one, and gpiozero on its mock pins."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from gpiozero.pins.mock import MockFactory

from wayside_edge.hal.gpio import Controller
from wayside_edge.hal.gpio_zero import ZeroController
from wayside_firmware.board.gpio import SimulatedGpio, SimulatedLine


@dataclass
class Case:
    """A controller with a line 17, and how to drive it from outside."""

    controller: Controller
    drive: Callable[[bool], None]


def simulated() -> Case:
    board = SimulatedGpio({"17": SimulatedLine()})
    return Case(board, lambda high: board.drive("17", high))


def gpiozero() -> Case:
    factory = MockFactory()

    def drive(high: bool) -> None:
        pin = factory.pin(17)
        pin.drive_high() if high else pin.drive_low()

    return Case(ZeroController(factory), drive)


@pytest.fixture(params=[simulated, gpiozero])
def case(request: pytest.FixtureRequest) -> Case:
    made: Case = request.param()
    return made


@pytest.mark.parametrize(("pull", "high"), [("up", True), ("down", False)])
def test_a_pull_holds_a_line_that_nothing_drives(case: Case, pull: str, high: bool) -> None:
    assert case.controller.input("17", pull, 0.0, None).high() is high


def test_the_level_is_what_drives_it(case: Case) -> None:
    line = case.controller.input("17", "down", 0.0, None)
    for high in (True, False, True):
        case.drive(high)
        assert line.high() is high
    assert line.take() == ([], 0)


@pytest.mark.parametrize(
    ("edges", "expected"), [("both", [True, False, True]), ("rising", [True, True]), ("falling", [False])]
)
def test_changes_come_once_in_order_with_their_times(case: Case, edges: str, expected: list[bool]) -> None:
    line = case.controller.input("17", "down", 0.0, edges)
    before_ns = time.monotonic_ns()
    for high in (True, False, True):
        case.drive(high)
    changes, lost = line.take()
    assert [high for high, _ in changes] == expected
    times = [at_ns for _, at_ns in changes]
    assert times == sorted(times)
    assert all(before_ns - 1000 <= at_ns <= time.monotonic_ns() + 1000 for at_ns in times)
    assert lost == 0
    assert line.take() == ([], 0)


def test_what_the_buffer_cannot_keep_is_counted(case: Case) -> None:
    line = case.controller.input("17", "down", 0.0, "both")
    for turn in range(10_001):
        case.drive(turn % 2 == 0)
    changes, lost = line.take()
    assert lost > 0
    assert len(changes) + lost == 10_001
    assert changes[-1][0] is True
    assert line.take() == ([], 0)


def test_a_line_has_one_user_until_it_is_given_back(case: Case) -> None:
    first = case.controller.input("17", "up", 0.0, None)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        case.controller.output("17", False)
    assert caught.value.errno == errno.EBUSY
    first.close()
    case.controller.output("17", False).close()
    case.controller.input("17", "up", 0.0, "both").close()


@pytest.mark.parametrize("line", ["99", "no-such-line"])
def test_a_line_that_is_not_there(case: Case, line: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        case.controller.input(line, "up", 0.0, None)
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("high", [True, False])
def test_an_output_is_as_wanted_from_the_first_moment_and_stays_so_when_given_back(case: Case, high: bool) -> None:
    line = case.controller.output("17", high)
    assert line.high() is high
    line.drive(not high)
    assert line.high() is not high
    line.close()
    assert line.high() is not high
