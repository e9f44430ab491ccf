"""A model that was trained on a recording, deployed: the agent finds what the evaluation found, number by number."""

import asyncio
import csv
import hashlib
import math
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.compute_tflite import machine_result
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_firmware.models.recording import Wanted, read
from wayside_firmware.models.worker import Run, run
from wayside_shared.batch import Envelope, Message
from wayside_shared.columns import decode_body
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.models import recordings

pytest_plugins = ["wayside_testkit.credentials"]

BEGIN_S = 1_500_000_000
PERIOD_S = 300
ROWS = 1200
FAULT = range(1000, 1030)


def _recording(file: Path) -> None:
    """A machine that runs with the day, until its bearing gets warm without the load having risen."""
    draw = random.Random(4)
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["time", "load", "bearing"])
        for row in range(ROWS):
            load = 50 + 20 * math.sin(row / 288 * 2 * math.pi) + draw.gauss(0, 1)
            bearing = 30 + 0.4 * load + draw.gauss(0, 0.3) + (12 if row in FAULT else 0)
            moment = datetime.fromtimestamp(BEGIN_S + row * PERIOD_S, UTC)
            rows.writerow([f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{load:.2f}", f"{bearing:.2f}"])


async def _trained(folder: Path) -> Path:
    model = folder / "bearing.tflite"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wayside_firmware", "model", "train"),
        *("--data", str(folder / "table.csv"), "--series", "load=%", "--series", "bearing=Cel", "--out", str(model)),
        *("--period", str(PERIOD_S), "--window", "12", "--epochs", "15", "--members", "4"),
        *("--until", "2017-07-17T00:00:00Z"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, (said + complained).decode()
    return model


def _config(
    folder: Path, table: Path, time_column: str, columns: Mapping[str, str], model: Path, who: Credentials
) -> Path:
    """An agent that plays `table`, whose columns have these units, to `model`."""
    inputs = ", ".join(f'"mill.{column}"' for column in columns)
    sensor = (
        f'[[sensor]]\nname = "mill"\nkind = "replay"\nfile = "{table}"\ntime_column = "{time_column}"\n'
        "speed = 1e9\ninterval_s = 0.02\n"
        + "".join(
            f'[[sensor.columns]]\ncolumn = "{column}"\nname = "{column}"\nunit = "{unit}"\n'
            for column, unit in columns.items()
        )
        + f'[[stage]]\nname = "watch"\nkind = "tflite"\nfile = "{model}"\n'
        f'sha256 = "{hashlib.sha256(model.read_bytes()).hexdigest()}"\n'
        f"inputs = [{inputs}]\nevery_s = 0.1\nsamples = 997\ndeadline_s = 5.0\nmemory_mb = 64\n"
    )
    # Nobody listens at this port: all that was accepted stays in the outbox.
    more = TRUSTED + outbox_table(folder / "outbox.db")
    return agent_config(folder, 1, who, more=more, sensor=sensor)


async def _scores(outbox: Path) -> tuple[dict[int, float], list[str]]:
    """The accepted scores by their times in microseconds, and the texts."""
    settings = OutboxSettings(path=outbox, free_disk_floor_mb=0, ballast_mb=0)
    store = DurableOutbox(settings, SystemClock(ClockSettings(trust_system=True)))
    status = await store.open()
    scores: dict[int, float] = {}
    texts: list[str] = []
    for row in (await store.load(list(status.pending))).rows:
        head = Envelope("mill-1", row.epoch, row.first_seq, row.seq, row.before, row.n, row.boot_id, row.clock, None)
        for block in decode_body(Message(head, row.body)).blocks:
            if block.name == "watch.score" and block.numbers is not None:
                scores |= dict(zip(block.times_us.tolist(), block.numbers.tolist(), strict=True))
            if block.name == "watch.event":
                texts += block.texts or []
    await store.close()
    return scores, texts


async def _all_said(agent: AgentProcess, count: int) -> None:
    await agent.says("stage watch:", times=count)


@pytest.mark.timeout(90)
async def test_the_agent_finds_what_the_evaluation_found(tmp_path: Path, credentials: CredentialsFactory) -> None:
    await asyncio.to_thread(_recording, tmp_path / "table.csv")
    model = await _trained(tmp_path)
    wanted = [Wanted("load", "%"), Wanted("bearing", "Cel")]
    series = await asyncio.to_thread(read, tmp_path / "table.csv", wanted, "time")
    evaluated = await asyncio.to_thread(run, model, series)
    assert len(evaluated.events) >= 2, "the fault begins and ends"
    units = {"load": "%", "bearing": "Cel"}
    config = _config(tmp_path, tmp_path / "table.csv", "time", units, model, credentials.device("mill-1"))
    async with agent_process(config) as agent:
        await _all_said(agent, len(evaluated.events))
        assert await agent.stop() == 0
    scores, texts = await _scores(tmp_path / "outbox.db")
    assert scores == _expected(evaluated)
    assert len(texts) == len(evaluated.events)


@pytest.mark.timeout(90)
async def test_the_agent_finds_the_failures_of_a_real_machine(tmp_path: Path, credentials: CredentialsFactory) -> None:
    folder = recordings()
    found = await asyncio.to_thread(machine_result, folder, seed=1)
    model, table = tmp_path / "machine.tflite", folder / "machine" / "machine_temperature.csv"
    await asyncio.to_thread(model.write_bytes, found.file)
    evaluated = await asyncio.to_thread(run, model, await asyncio.to_thread(read, table, [Wanted("value", "Cel")]))
    config = _config(tmp_path, table, "timestamp", {"value": "Cel"}, model, credentials.device("mill-1"))
    async with agent_process(config) as agent:
        await _all_said(agent, len(evaluated.events))
        assert await agent.stop() == 0
    scores, texts = await _scores(tmp_path / "outbox.db")
    assert scores == _expected(evaluated)
    assert len(texts) == len(evaluated.events)
    assert sum(found.alarms.found) >= 3
    assert len(found.alarms.false_alarms) <= 5


def _expected(evaluated: Run) -> dict[int, float]:
    """Scores by the times of their windows, in microseconds."""
    return dict(zip((evaluated.times_ns // 1000).tolist(), evaluated.values["score"].tolist(), strict=True))
