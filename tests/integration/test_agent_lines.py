"""The running agent in trouble: one clear line when it begins, one when it ends, and it goes on by itself."""

from pathlib import Path

import pytest

from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory

pytest_plugins = ["wayside_testkit.broker", "wayside_testkit.credentials"]


async def test_a_second_agent_on_one_outbox_ends_with_78(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with agent_process(config) as first:
        await first.says("uplink up")
        async with agent_process(config) as second:
            assert await second.ended() == 78
        (line,) = [text for _, text in second.lines]
        assert line.startswith(
            f"wayside-edge: outbox {tmp_path / 'outbox.db'} is in use by another agent; stop that one"
        )
        assert first.troubles == []


@pytest.mark.skipif(SystemClock(ClockSettings()).synced(), reason="this machine's clock is synchronised")
@pytest.mark.parametrize("hold_s", [0.0, 120.0])
async def test_a_clock_that_nobody_set_is_one_line(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, hold_s: float
) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    more = f"[clock]\nhold_s = {hold_s}\n" + outbox_table(folder / "outbox.db")
    async with agent_process(agent_config(folder, broker.port, credentials.device("boiler-7"), more=more)) as agent:
        await agent.says("uplink up")
        await agent.says("waiting for the time: the clock is not synchronised")
        if not hold_s:
            await agent.says("still without the time after 0 s")
    assert len(agent.troubles) == (1 if hold_s else 2)
