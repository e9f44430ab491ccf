"""What the agent accepted outlives a power cut: the machine is killed whole, over a disk with a volatile cache.

Stronger than killing a process, whose page cache survives, and than shutting a file system down, which keeps the
device's order: here only what the guest's kernel has flushed is there afterwards, and sectors written back early make
the rest torn and out of order.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from board.agent import BME280, SENSING, Agent, accepted, outbox, start_agent
from board.disk import make_disk
from board.machine import GUEST_DATA, Board, Wanted
from board.office import Accepted, Office
from board.test_delivery import DEVICE
from board.uml import DiskCache, Uml

CUTS = int(os.environ.get("CUTS", "12"))
pytestmark = [pytest.mark.board, pytest.mark.timeout(600 + 30 * CUTS)]
BATCHES = (5, 40)
"""Batches accepted in a boot before its cut."""


@asynccontextmanager
async def off_at_the_end(board: Board) -> AsyncIterator[Board]:
    """A board that may be left on."""
    try:
        yield board
    finally:
        await board.power_cut()


async def until_accepted(board: Board, count: int) -> None:
    """Returns when `count` batches more have been accepted."""
    goal = len(accepted(board)) + count
    async with asyncio.timeout(120):
        while len(accepted(board)) < goal:
            await board.console.line("ACCEPTED", start=len(board.console.lines))


async def test_what_the_agent_accepted_outlives_power_cuts(wanted: Wanted, tmp_path: Path, office: Office) -> None:
    random = Random(1)
    config = office.uplink(DEVICE) + outbox(GUEST_DATA) + SENSING
    backend = Uml()
    machine = replace(wanted, disk=make_disk(tmp_path / "disk"), network=True)
    async with off_at_the_end(Board(backend, machine, BME280)) as board:
        for cut in range(CUTS):
            backend.disk_cache = DiskCache(evict=2, seed=cut + 1)
            await board.power_on()
            # Every second boot is one without a network, in which nothing leaves the outbox.
            if cut % 2:
                await backend.cable(plugged=False)
            await start_agent(board, config, witnessed=True)
            await until_accepted(board, random.randint(*BATCHES))
            await board.power_cut()
        owed = accepted(board)
        await board.power_on()
        agent: Agent = await start_agent(board, config)
        outcomes = await office.settled(DEVICE, owed)
        await agent.stop()
    assert len(owed) >= CUTS * BATCHES[0]
    assert {outcomes[batch] for batch in owed} == {"stored"}
    account = await office.account(DEVICE)
    assert (account.missing, account.duplicates_stored, account.dropped_total) == (0, 0, 0)


async def test_a_card_that_lies_about_its_flushes_is_noticed(wanted: Wanted, tmp_path: Path, office: Office) -> None:
    """So that the test above can fail: it is the flush that keeps what was accepted."""
    config = office.uplink(DEVICE) + outbox(GUEST_DATA) + SENSING
    machine = replace(wanted, disk=make_disk(tmp_path / "disk"))
    backend = Uml(DiskCache(lie=True))
    async with off_at_the_end(Board(backend, machine, BME280)) as board:
        await board.power_on()
        await start_agent(board, config, witnessed=True)
        await until_accepted(board, 20)
        await board.power_cut()
        owed = accepted(board)
        await board.power_on()
        found = {Accepted(*batch) for batch in await board.call("outbox:batches", folder=GUEST_DATA)}
    assert owed - found
