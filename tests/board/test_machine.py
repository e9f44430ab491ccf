"""The board as a machine: its watchdog resets it, and it boots without knowing the time."""

import asyncio
import time
from pathlib import Path

import pytest

from board.agent import BME280, SENSING, accepted, outbox, start_agent
from board.disk import make_disk
from board.machine import GUEST_DATA, Board, Wanted, running
from board.office import Office
from board.test_delivery import DEVICE, SERIES
from board.uml import Uml

pytestmark = [pytest.mark.board, pytest.mark.timeout(300)]
YEAR_2000_S = 946_684_800.0


async def test_a_watchdog_that_is_not_fed_resets_the_board(board: Board) -> None:
    await board.call("system:write", path="/run/gone", text="memory")
    await board.call("system:feed_watchdog_once", within_s=2)
    await board.reset()
    assert await board.call("system:links", pattern="/run/gone") == {}
    assert "/dev/i2c-0" in await board.call("system:links", pattern="/dev/i2c-*")


async def test_an_agent_that_a_reset_took_down_delivers_what_it_had_accepted(
    wanted: Wanted, tmp_path: Path, office: Office
) -> None:
    config = office.uplink(DEVICE) + outbox(GUEST_DATA) + SENSING
    machine = Wanted(wanted.folder, disk=make_disk(tmp_path / "disk"), network=True)
    async with running(Uml(), machine, BME280) as board:
        await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, 10)
        await board.backend.cable(plugged=False)
        await board.call("system:feed_watchdog_once", within_s=2)
        await board.reset()
        await board.backend.cable(plugged=True)
        before = accepted(board)
        agent = await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, len(await office.values(DEVICE, SERIES)) + 10)
        await agent.stop()
        taken = accepted(board)
    outcomes = await office.outcomes(DEVICE)
    assert len({batch.epoch for batch in taken}) == 1
    assert before < taken <= outcomes.keys()
    assert set(outcomes.values()) == {"stored"}
    assert (await office.account(DEVICE)).missing == 0


async def test_a_board_without_a_clock_measures_at_once_and_is_corrected(wanted: Wanted, office: Office) -> None:
    config = office.uplink(DEVICE) + outbox("/run") + SENSING
    async with running(Uml(), Wanted(wanted.folder, network=True), BME280) as board:
        await board.call("system:set_clock", seconds=YEAR_2000_S)
        began_s = time.time()
        agent = await start_agent(board, config, witnessed=True)
        async with asyncio.timeout(60):
            while len(accepted(board)) < 20:
                await board.console.line("ACCEPTED", start=len(board.console.lines))
        assert "waiting for the time" in await agent.log()
        assert await office.outcomes(DEVICE) == {}
        early = accepted(board)
        await board.call("system:set_clock", seconds=time.time())
        await office.stored_beyond(DEVICE, SERIES, sum(batch.samples for batch in early) // 3)
        await agent.stop()
        ended_s = time.time()
        taken = accepted(board)
    assert await office.outcomes(DEVICE) == dict.fromkeys(taken, "stored")
    times = [at_s for at_s, _ in await office.values(DEVICE, SERIES)]
    assert began_s - 1.0 < times[0] < times[-1] < ended_s + 1.0
