"""The agent as it is shipped with real modules, good and hostile ones: what the sensors gave is all there."""

import asyncio
import hashlib
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_shared.batch import Envelope, Message
from wayside_shared.columns import decode_body
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.stage import write_wat
from wayside_testkit.wat import SPIN, module, processing

GROW = "(loop $on (drop (memory.grow (i32.const 64))) (br $on)) (unreachable)"
HOSTILE = {
    "loops": processing(SPIN),
    "grows": processing(GROW),
    "traps": processing("(unreachable)"),
    "garbage": processing("(i64.const 40)"),
    "outside": processing("(i64.const -9223372036854775000)"),
    "no-abi": "(module)",
}
INTERVAL_S = 0.1
PORT = 1
"""Nobody listens there: all that was accepted is in the outbox afterwards."""


def stage(name: str, file: Path, more: str = "") -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return (
        f'[[stage]]\nname = "{name}"\nfile = "{file}"\nsha256 = "{digest}"\ninputs = ["host.*"]\n'
        f"every_s = 0.2\ndeadline_s = 0.3\n{more}"
    )


def wasm(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir()
    return write_wat(folder / name, text)


def config(folder: Path, credentials: CredentialsFactory, stages: Sequence[str]) -> Path:
    sensor = f'[[sensor]]\nname = "host"\nkind = "host"\ninterval_s = {INTERVAL_S}\n'
    file = folder / "edge.toml"
    file.unlink(missing_ok=True)
    more = outbox_table(folder / "outbox.db") + TRUSTED + "[health]\ninterval_s = 1\n"
    made = agent_config(folder, PORT, credentials.device("board-1"), more=more, sensor=sensor)
    made.write_text(made.read_text() + "\n".join(stages))
    return made


async def accepted(folder: Path) -> dict[str, dict[int, float]]:
    """What the outbox holds: values by series and time in milliseconds."""
    store = DurableOutbox(
        OutboxSettings(path=folder / "outbox.db", free_disk_floor_mb=0, ballast_mb=0),
        SystemClock(ClockSettings(trust_system=True)),
    )
    status = await store.open()
    found: dict[str, dict[int, float]] = defaultdict(dict)
    loaded = await store.load(list(status.pending))
    for row in loaded.rows:
        envelope = Envelope(
            "board-1", row.epoch, row.first_seq, row.seq, row.before, row.n, row.boot_id, row.clock, None
        )
        for block in decode_body(Message(envelope, row.body)).blocks:
            if block.numbers is None:
                continue
            for time_us, value in zip(block.times_us.tolist(), block.numbers.tolist(), strict=True):
                # Batches have clock maps of their own, which differ by some microseconds.
                time_ms = round(time_us / 1000)
                assert time_ms not in found[block.name]
                found[block.name][time_ms] = value
    await store.close()
    return found


async def said(agent: AgentProcess, *texts: str) -> None:
    for text in texts:
        await agent.says(text)


async def test_hostile_modules_cost_nothing_but_what_they_would_have_computed(
    tmp_path: Path, credentials: CredentialsFactory
) -> None:
    stages = [stage(name, wasm(tmp_path, name, text)) for name, text in HOSTILE.items()]
    stages.append(stage("copy", wasm(tmp_path, "copy", module())))
    file = config(tmp_path, credentials, stages)
    async with agent_process(file) as agent:
        await agent.says("trying again")
        before = psutil.Process(agent.pid).memory_info().rss
        await said(agent, *(f"stage {name} failed 3 times in a row" for name in HOSTILE))
        grown = psutil.Process(agent.pid).memory_info().rss - before
        assert await agent.stop() == 0
    assert grown < 64 * 1024 * 1024
    found = await accepted(tmp_path)
    raw = {name: values for name, values in found.items() if name.startswith("host.")}
    for name, values in raw.items():
        times = sorted(values)
        gaps = [b - a for a, b in pairwise(times)]
        assert max(gaps) < 5 * INTERVAL_S * 1e3, name  # it kept its rate; a busy machine may leave out one or two
        # The good stage worked on every one of them.
        assert found[f"copy.{name}"] == values
    assert len(raw) > 3
    for name in HOSTILE:
        assert max(found[f"agent.stage_failures.{name}"].values()) >= 1
    assert set(found["agent.stage_failures.copy"].values()) == {0.0}
    assert max(found["agent.stage_blocks.copy"].values()) > 3


async def test_a_swap_while_it_runs_leaves_no_reading_out(tmp_path: Path, credentials: CredentialsFactory) -> None:
    first = wasm(tmp_path, "first", module())
    second = wasm(tmp_path, "second", module('(data (i32.const 64) "second")'))
    third = wasm(tmp_path, "third", processing("(i64.const -1)", '(func (export "wayside_reset") unreachable)'))
    file = config(tmp_path, credentials, [stage("copy", first)])
    async with agent_process(file) as agent:
        await agent.says("trying again")
        for which, line in ((second, "it had and has no state"), (first, "it had and has no state")):
            config(tmp_path, credentials, [stage("copy", which)])
            os.kill(agent.pid, signal.SIGHUP)
            await agent.says(line, times=1 if which is second else 2)
        config(tmp_path, credentials, [stage("copy", third, 'settings = {x = "y"}\n')])
        third.write_bytes(b"not a module")
        os.kill(agent.pid, signal.SIGHUP)
        await agent.says(f"stays as it was, because {third} with its new settings does not work")
        await agent.says("stage copy refused it; 0 stages changed")
        file.write_text("nonsense")
        os.kill(agent.pid, signal.SIGHUP)
        await agent.says("was not read anew")
        config(tmp_path, credentials, [stage("copy", first), stage("more", first)])
        os.kill(agent.pid, signal.SIGHUP)
        await agent.says("stages were added, removed or moved, which takes a restart of the agent; all stays as it was")
        assert await agent.stop() == 0
    found = await accepted(tmp_path)
    raw = {name: values for name, values in found.items() if name.startswith("host.")}
    assert raw
    for name, values in raw.items():
        assert found[f"copy.{name}"] == values


def test_the_agent_alone_loads_no_runtime() -> None:
    """What no stage is configured for costs no memory."""
    code = (
        "import sys, wayside_edge.app; print([m for m in ('wasmtime', 'numpy', 'ai_edge_litert') if m in sys.modules])"
    )
    assert asyncio.run(_output(code)) == "[]"


async def _output(code: str) -> str:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()
