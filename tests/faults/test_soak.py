"""Half an hour of a recording at high speed, while brokers and workers are killed: all is there, and memory is flat."""

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from wayside_edge.acquisition.trouble import QUARANTINE_S
from wayside_server.storage.database import Pool, connection
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import server_side
from wayside_testkit.stage import write_wat
from wayside_testkit.wat import module

BEGIN_S = 1_700_000_000
SECONDS = 30 * 60
A_SECOND = 5
"""Rows of the recording in each of its seconds, of two columns."""
SPEED = 120
SAMPLES = SECONDS * A_SECOND * 2
COPIES = ["copy.rec.a", "copy.rec.b"]
FLAT_BYTES = 4 * 1024 * 1024
"""Growth between a third of the way and the end. 24 MB pass through an agent meanwhile."""


def _recording(file: Path) -> None:
    draw = random.Random(1)
    rows = (
        f"{(BEGIN_S + i / A_SECOND):.3f},{20 + draw.gauss(0, 1):.2f},{50 + draw.gauss(0, 5):.1f}\n"
        for i in range(SECONDS * A_SECOND)
    )
    file.write_text("t,a,b\n" + "".join(rows))


def _config(folder: Path, broker: Broker, credentials: CredentialsFactory) -> Path:
    recording = folder / "recording.csv"
    _recording(recording)
    copy = write_wat(folder, module())
    sensor = (
        f'[[sensor]]\nname = "rec"\nkind = "replay"\nfile = "{recording}"\ntime_column = "t"\n'
        f'time_format = "unix_s"\nspeed = {SPEED}.0\ninterval_s = 0.05\n'
        '[[sensor.columns]]\ncolumn = "a"\nname = "a"\nunit = "1"\n'
        '[[sensor.columns]]\ncolumn = "b"\nname = "b"\nunit = "1"\n'
        f'[[stage]]\nname = "copy"\nfile = "{copy}"\nsha256 = "{hashlib.sha256(copy.read_bytes()).hexdigest()}"\n'
        'inputs = ["rec.*"]\nevery_s = 0.1\n'
    )
    more = TRUSTED + outbox_table(folder / "outbox.db")
    return agent_config(folder, broker.port, credentials.device("board-1"), more=more, sensor=sensor)


async def _count(pool: Pool, names: Sequence[str]) -> tuple[int, int]:
    """Samples of these series that have a value, and how many different ones."""
    async with connection(pool) as conn:
        found = await conn.execute(
            "SELECT count(*), count(DISTINCT (series_id, ts)) FROM sample JOIN series ON series.id = series_id"
            " WHERE series.name = ANY(%s) AND value IS NOT NULL",
            [list(names)],
        )
        (row,) = await found.fetchall()
    count, different = row
    assert isinstance(count, int)
    assert isinstance(different, int)
    return count, different


async def _trouble(agent: AgentProcess, broker: Broker, draw: random.Random) -> None:
    """Kill a worker every second or so, and the broker, with all it knows, every few seconds."""
    process = psutil.Process(agent.pid)
    for turn in range(1, 1000):
        await asyncio.sleep(draw.uniform(0.5, 1.2))  # nothing to wait for: trouble comes when it comes
        for worker in process.children():
            worker.kill()
        if turn % 4 == 0:
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)


async def _given_up(config: Path, pool: Pool) -> int:
    """How many readings the stage says it gave up, once what it did not give up is all stored."""
    async with asyncio.timeout(QUARANTINE_S + 30):
        while True:
            await asyncio.sleep(0.5)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wayside_edge", "status", "--json", "--config", str(config)),
                stdout=asyncio.subprocess.PIPE,
            )
            (stage,) = json.loads((await process.communicate())[0])["stages"]
            given_up = stage["given_up"]
            assert isinstance(given_up, int)
            if given_up + (await _count(pool, COPIES))[0] >= SAMPLES:
                return given_up


@pytest.mark.slow
@pytest.mark.timeout(300)  # a stage that was quarantined near the end is tried a minute later
async def test_half_an_hour_under_faults_loses_nothing_and_takes_no_more_memory(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    config = await asyncio.to_thread(_config, tmp_path, broker, credentials)
    who = credentials.service()
    memory: list[int] = []
    async with server_side(broker, who, pool), agent_process(config) as agent:
        trouble = asyncio.create_task(_trouble(agent, broker, random.Random(2)))
        async with asyncio.timeout(90):
            while (await _count(pool, ["rec.a", "rec.b"]))[0] < SAMPLES:
                memory.append(psutil.Process(agent.pid).memory_info().rss)
                assert agent.running
                await asyncio.sleep(0.25)
        trouble.cancel()
        await asyncio.gather(trouble, return_exceptions=True)
        given_up = await _given_up(config, pool)
        assert await agent.stop() == 0
    third = len(memory) // 3
    assert max(memory[-third:]) - max(memory[: third + 1]) < FLAT_BYTES
    assert await _count(pool, ["rec.a", "rec.b"]) == (SAMPLES, SAMPLES)
    # A worker that is killed twice while it has the same readings gives those up, says how many, and loses no others.
    computed, different = await _count(pool, COPIES)
    assert 0 < computed == different == SAMPLES - given_up
