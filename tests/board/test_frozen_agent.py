"""An agent that hangs while it holds the board's watchdog: the board is reset, and nothing accepted is lost."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from board.agent import BME280, SENSING, Agent, accepted, outbox, start_agent
from board.disk import make_disk
from board.machine import GUEST_DATA, Board, Wanted, running
from board.office import Office
from board.test_delivery import DEVICE, SERIES
from board.uml import Uml
from wayside_testkit.hostile import Deed, installed

pytestmark = [pytest.mark.board, pytest.mark.timeout(300)]
TIMEOUT_S = 4
WATCHED = SENSING.replace('device = "off"', f'device = "auto"\ntimeout_s = {TIMEOUT_S}\nstall_s = 2.0') + (
    '[[sensor]]\nname = "wild"\nkind = "hostile"\ninterval_s = 0.1\ntrigger = "/run/deed"\n'
)


async def stopped(_board: Board, agent: Agent) -> None:
    await _board.call("system:send", pid=agent.pid, number=signal.SIGSTOP)


async def loop_blocked(board: Board, _agent: Agent) -> None:
    await board.call("system:write", path="/run/deed", text=Deed.LOOP.value)


async def interpreter_kept(board: Board, _agent: Agent) -> None:
    await board.call("system:write", path="/run/deed", text=Deed.INTERPRETER.value)


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (stopped, "rebooted or power was cut while the agent ran"),
        (loop_blocked, "rebooted after the agent hung: the event loop has shown no life for"),
        (interpreter_kept, "rebooted or power was cut while the agent ran"),
    ],
    ids=["stopped", "event loop", "interpreter"],
)
async def test_a_frozen_agent_has_the_board_reset_and_what_it_accepted_is_stored(
    wanted: Wanted, tmp_path: Path, office: Office, freeze: Callable[[Board, Agent], Awaitable[None]], said: str
) -> None:
    installed(tmp_path)
    site = tmp_path / "site"
    config = office.uplink(DEVICE) + outbox(GUEST_DATA) + WATCHED
    machine = Wanted(wanted.folder, disk=make_disk(tmp_path / "disk"), network=True)
    async with running(Uml(), machine, BME280) as board:
        agent = await start_agent(board, config, witnessed=True, site=site)
        await office.stored_beyond(DEVICE, SERIES, 10)
        assert f"watchdog /dev/watchdog resets the board after {TIMEOUT_S} s" in await agent.log()
        await board.backend.cable(plugged=False)
        await freeze(board, agent)
        await board.reset()
        await board.backend.cable(plugged=True)
        before = accepted(board)
        agent = await start_agent(board, config, witnessed=True, site=site)
        await office.stored_beyond(DEVICE, SERIES, len(await office.values(DEVICE, SERIES)) + 10)
        await agent.stop()
        taken = accepted(board)
    outcomes = await office.outcomes(DEVICE)
    assert before < taken <= outcomes.keys()
    assert set(outcomes.values()) == {"stored"}
    account = await office.account(DEVICE)
    assert (account.missing, account.duplicates_stored, account.dropped_total) == (0, 0, 0)
    (text,) = await office.texts(DEVICE, "agent.restart")
    assert text.startswith(said)


async def test_an_agent_that_is_stopped_leaves_the_watchdog_disarmed(wanted: Wanted, office: Office) -> None:
    config = office.uplink(DEVICE) + outbox("/run") + SENSING.replace("off", "/dev/watchdog")
    async with running(Uml(), Wanted(wanted.folder, network=True), BME280) as board:
        agent = await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, 10)
        state = "/sys/class/watchdog/watchdog0/state"
        assert await board.call("system:read", pattern=state) == {state: "active"}
        await agent.stop()
        assert await board.call("system:read", pattern=state) == {state: "inactive"}
        assert "the agent hangs" not in await agent.log()
