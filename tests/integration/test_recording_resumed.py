"""A recording with its own times is accepted once, however often the agent that plays it is restarted."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import free_port
from wayside_testkit.credentials import CredentialsFactory

pytest_plugins = ["wayside_testkit.credentials"]

ROWS = 3_000


async def test_a_restart_goes_on_where_the_recording_was(tmp_path: Path, credentials: CredentialsFactory) -> None:
    recording, outbox = tmp_path / "recording.csv", tmp_path / "outbox.db"
    recording.write_text("t,a,b\n" + "".join(f"{1_500_000_000 + i},{i},{i}.5\n" for i in range(ROWS)))
    sensor = (
        f'[[sensor]]\nname = "rec"\nkind = "replay"\nfile = "{recording}"\ntime_column = "t"\n'
        'time_format = "unix_s"\nspeed = 500.0\ninterval_s = 0.02\n'
        '[[sensor.columns]]\ncolumn = "a"\nname = "a"\nunit = "1"\n'
        '[[sensor.columns]]\ncolumn = "b"\nname = "b"\nunit = "1"\n'
    )
    more = TRUSTED + outbox_table(outbox)
    config = agent_config(tmp_path, free_port(), credentials.device("boiler-7"), more=more, sensor=sensor)
    kills = accepted = 0
    while accepted < 2 * ROWS:
        async with agent_process(config) as agent:
            accepted = await more_than(accepted, outbox)
            await agent.kill()
        assert agent.count("recording rec goes on after") == (1 if kills else 0)
        kills += 1
    assert kills > 2, "it was over before it was interrupted"
    async with agent_process(config) as agent:
        await agent.says("recording rec goes on after")
        await agent.says("uplink down")
    assert counted(outbox) == 2 * ROWS, "each row of both columns once"


def counted(outbox: Path) -> int:
    """Samples of the recording accepted so far; what an agent says of itself has a boot's time."""
    if not outbox.exists():
        return 0
    with closing(sqlite3.connect(outbox)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch'").fetchone():
            return 0
        return int(db.execute("SELECT coalesce(sum(n), 0) FROM batch WHERE boottime_ns = 0").fetchone()[0])


async def more_than(before: int, outbox: Path) -> int:
    """Samples accepted, once there are some hundreds more of them than `before`, or all."""
    async with asyncio.timeout(30):
        while counted(outbox) < min(before + 700, 2 * ROWS):  # noqa: ASYNC110 - a file wakes nobody
            await asyncio.sleep(0.02)
    return counted(outbox)
