"""1-Wire as the kernel has it: thermometers behind a bridge on I2C, found and read by its own drivers, then by ours."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from board.line import GuestError
from board.machine import Board, Chips, Wanted, running
from board.uml import Uml
from wayside_firmware.board.chips.ds2482 import COLDER_K

pytestmark = pytest.mark.board
DEVICES = "/sys/bus/w1/devices"
WARM, COLD = "28-00000000000a", "28-00000000000b"
STEP_K = 0.0625


@pytest.fixture
async def board(wanted: Wanted) -> AsyncIterator[Board]:
    """A board with two thermometers on a wire, which the kernel has found."""
    async with running(Uml(), wanted, Chips(i2c=[{"model": "ds2482", "noise": 0.0, "seed": 5}])) as started:
        await started.call("system:write", path="/sys/bus/i2c/devices/i2c-0/new_device", text="ds2482 0x18")
        for device in (WARM, COLD):
            await started.call("system:appears", pattern=f"{DEVICES}/{device}/w1_slave", within_s=20)
        yield started


async def measure(board: Board, device: str, **options: Any) -> float:
    sensor = {"kind": "ds18b20", "id": device, **options}
    found = await board.call("sensing:measure", bus={"kind": "w1"}, sensor=sensor)
    value, unit, quality = found["temperature"]
    assert (unit, quality) == ("Cel", "GOOD")
    return float(value)


async def test_the_driver_reads_each_thermometer(board: Board) -> None:
    warm, cold = await measure(board, WARM), await measure(board, COLD)
    assert 15.0 < warm < 30.0
    assert warm - cold == pytest.approx(COLDER_K, abs=2 * STEP_K)
    kernel = await board.call("system:read", pattern=f"{DEVICES}/{WARM}/temperature")
    assert int(kernel[f"{DEVICES}/{WARM}/temperature"]) / 1000 == pytest.approx(warm, abs=2 * STEP_K)


async def test_the_driver_sets_a_resolution_that_the_chip_keeps(board: Board) -> None:
    assert await measure(board, WARM, resolution=9) % 0.5 == 0.0
    assert (await board.call("system:read", pattern=f"{DEVICES}/{WARM}/resolution")).popitem()[1] == "9"


@pytest.mark.parametrize(
    ("fault", "text"), [("out_of_range", "holds its power-on value"), ("absent", "does not answer")]
)
async def test_a_fault_reaches_the_driver_through_the_kernel(board: Board, fault: str, text: str) -> None:
    await board.call("chips:set_fault", address=0x18, fault=fault)
    with pytest.raises(GuestError, match=text):
        await measure(board, WARM)


async def test_a_thermometer_that_is_not_there_is_named_with_those_that_are(board: Board) -> None:
    with pytest.raises(GuestError, match=f"28-0000000000ff: not found.*{WARM}, {COLD}"):
        await measure(board, "28-0000000000ff")
