"""The buses are the kernel's: what it says, and what the shipped drivers make of it."""

from typing import Any

import pytest

from board.line import GuestError
from board.machine import Board, Wanted, running
from board.uml import Uml

pytestmark = pytest.mark.board
I2C = {"kind": "i2c", "number": 0}


async def measure(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = await board.call("sensing:measure", bus=I2C, sensor={"kind": "bme280"})
    return found


async def test_the_board_has_the_devices_of_a_board(board: Board) -> None:
    found = await board.call("system:links", pattern="/dev/*")
    assert {"/dev/i2c-0", "/dev/spidev0.0", "/dev/spidev0.1", "/dev/gpiochip0", "/dev/watchdog"} <= set(found)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("absent", "DeviceAbsentError", "bus main: no chip answers at 0x76"),
        ("nack", "DeviceAbsentError", "bus main: no chip answers at 0x76"),
        ("timeout", "BusError", "timed out: a line is held low"),
        ("stuck", "BusError", "timed out: a line is held low"),
        ("wrong_identity", "SensorError", "BMP280"),
    ],
)
async def test_a_fault_is_the_kernels_own_error(board: Board, fault: str, kind: str, text: str) -> None:
    await board.call("chips:set_fault", address=0x76, fault=fault)
    with pytest.raises(GuestError) as failure:
        await measure(board)
    assert failure.value.kind == kind
    assert text in failure.value.text
    await board.call("chips:set_fault", address=0x76, fault="none")
    assert "temperature" in await measure(board)


async def test_raw_transfers_still_reach_a_chip_that_a_kernel_driver_holds(board: Board) -> None:
    await board.call("system:write", path="/sys/bus/i2c/devices/i2c-0/new_device", text="bme280 0x76")
    assert "temperature" in await measure(board)


async def test_a_chip_select_without_a_chip_reads_as_ones(wanted: Wanted) -> None:
    async with running(Uml(), wanted) as board:
        assert await board.call("spi:transfer", device=[0, 1], data=[1, 2, 3]) == [0xFF, 0xFF, 0xFF]
