"""From a chip behind the kernel's bus to a committed row, through the agent as it ships."""

import asyncio

import pytest

from board.agent import BME280, SENSING, accepted, outbox, start_agent
from board.machine import Wanted, running
from board.office import Office
from board.uml import Uml

pytestmark = [pytest.mark.board, pytest.mark.timeout(300)]
DEVICE, SERIES = "board-1", "air.temperature"


async def test_what_the_agent_accepted_is_stored(wanted: Wanted, office: Office) -> None:
    config = office.uplink(DEVICE) + outbox("/run") + SENSING
    async with running(Uml(), Wanted(wanted.folder, network=True), BME280) as board:
        agent = await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, 50)
        await agent.stop()
        taken = accepted(board)
    outcomes = await office.outcomes(DEVICE)
    assert sum(batch.samples for batch in taken) > 150, "three readings for each temperature that is stored"
    assert outcomes == dict.fromkeys(taken, "stored")
    account = await office.account(DEVICE)
    assert account.accepted == account.stored == sum(batch.samples for batch in taken)
    assert (account.missing, account.duplicates_stored) == (0, 0)


async def test_a_pulled_cable_holds_samples_up_and_loses_none(wanted: Wanted, office: Office) -> None:
    config = office.uplink(DEVICE) + outbox("/run") + SENSING
    async with running(Uml(), Wanted(wanted.folder, network=True), BME280) as board:
        agent = await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, 10)
        await board.backend.cable(plugged=False)
        # What was on its way when the cable went may still arrive; from here on nothing does.
        await board.console.line("ACCEPTED", start=len(board.console.lines))
        before = len(accepted(board))
        async with asyncio.timeout(60):
            while len(accepted(board)) < before + 40:
                await board.console.line("ACCEPTED", start=len(board.console.lines))
        held = len(await office.outcomes(DEVICE))
        assert held < len(accepted(board)) - 30
        await board.backend.cable(plugged=True)
        await office.stored_beyond(DEVICE, SERIES, len(await office.values(DEVICE, SERIES)) + 20)
        await agent.stop()
        taken = accepted(board)
    assert await office.outcomes(DEVICE) == dict.fromkeys(taken, "stored")
    assert (await office.account(DEVICE)).missing == 0
