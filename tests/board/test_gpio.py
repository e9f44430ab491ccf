"""Contacts, pulse meters and outputs on the kernel's GPIO lines, through both libraries that the agent can use."""

import asyncio
from typing import Any

import pytest

from board.machine import Board

pytestmark = pytest.mark.board
LINE = 17
PULSES = 10


@pytest.fixture(params=["gpiod", "gpiozero"])
def bus(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The board's lines; gpiozero takes the board for the Raspberry Pi that its device tree says it is."""
    return {"kind": "gpio", "backend": request.param}


async def begin(board: Board, bus: dict[str, Any], **sensor: Any) -> None:
    await board.call("sensing:begin", bus=bus, sensor={"line": str(LINE), "pull": "up", **sensor})


async def test_a_contact_gives_its_changes_and_its_state(board: Board, bus: dict[str, Any]) -> None:
    await begin(board, bus, kind="digital_input")
    assert await board.call("sensing:read") == [["state", True, "1", "GOOD"]], "its pull-up holds it"
    for level in (0, 1, 0):
        await board.call("chips:drive", line=LINE, level=level)
    await board.call("chips:release", line=LINE)
    changes: list[list[Any]] = []
    async with asyncio.timeout(20):
        while len(changes) < 4:  # lgpio hands them over by a thread
            *new, now = await board.call("sensing:read")
            changes += new
    assert changes == [["state", value, "1", "GOOD"] for value in (False, True, False, True)]
    assert now == ["state", True, "1", "GOOD"], "its pull-up holds it again"


async def test_a_meter_counts_every_pulse(board: Board, bus: dict[str, Any]) -> None:
    await begin(board, bus, kind="pulse_counter", factor=0.5, unit="L")
    for _ in range(PULSES):
        await board.call("chips:drive", line=LINE, level=0)
        await board.call("chips:drive", line=LINE, level=1)
    total: list[Any] = []
    async with asyncio.timeout(20):
        while total[1:2] != [0.5 * PULSES]:
            total = (await board.call("sensing:read"))[0]
    assert total == ["total", 0.5 * PULSES, "L", "GOOD"]


async def test_an_output_is_driven_and_left_safe(board: Board, bus: dict[str, Any]) -> None:
    sensor = {"kind": "digital_output", "line": str(LINE), "initial": True, "safe": False}
    await board.call("sensing:begin", bus=bus, sensor=sensor)
    assert await board.call("sensing:read") == [["state", True, "1", "GOOD"]]
    assert await board.call("chips:line_state", line=LINE) == [1, 1, 0]
    await board.call("sensing:end")
    assert (await board.call("chips:line_state", line=LINE))[0] == 0
