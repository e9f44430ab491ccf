"""The agent as a service that is watched: real processes, a real socket in systemd's place, and the worst drivers."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from wayside_edge.health.watcher import EXIT_HUNG
from wayside_server.storage.database import Pool
from wayside_shared.batch import Envelope, Message
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_testkit.agent import TRUSTED, AgentProcess, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker, free_port
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.delivery import server_side
from wayside_testkit.hostile import Deed, installed
from wayside_testkit.systemd import FakeSystemd, fake_systemd
from wayside_testkit.telemetry import reading_of

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]

WATCHDOG_S = 1.0
MODULE = "wayside_testkit.hostile"


@dataclass
class Place:
    """A configured agent with a hostile driver, and what is around it."""

    folder: Path
    config: Path
    environment: Mapping[str, str]

    @property
    def record(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "outbox.run").read_text())
        return found

    @property
    def pipe(self) -> Path:
        return self.folder / "pipe"

    def do(self, deed: Deed) -> None:
        """Have the driver do `deed` at its next read."""
        draft = self.folder / "deed.new"
        draft.write_text(deed.value)
        draft.replace(self.folder / "deed")

    def values(self, series: str) -> list[object]:
        """What is in the outbox, delivered or not."""
        found: list[object] = []
        with closing(sqlite3.connect(self.folder / "outbox.db")) as db:
            for n, body in db.execute("SELECT n, body FROM batch ORDER BY seq").fetchall():
                clock = ClockMap(0, 1_800_000_000 * 10**9, ClockState.SYNCED)
                message = Message(Envelope("board-1", b"e" * 16, 1, 1, 0, n, b"b" * 16, clock, None), body)
                for block in decode_body(message).blocks:
                    if block.name == series:
                        found += block.texts or ([] if block.numbers is None else block.numbers.tolist())
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[AgentProcess, FakeSystemd]]:
        socket = self.folder / "notify"
        socket.unlink(missing_ok=True)
        async with fake_systemd(socket, WATCHDOG_S) as systemd:
            environment = {**self.environment, **systemd.environment}
            async with agent_process(self.config, module=MODULE, environment=environment) as agent:
                await systemd.hears("READY=1")
                await agent.says("uplink")
                yield agent, systemd


def place(folder: Path, who: Credentials, port: int) -> Place:
    os.mkfifo(folder / "pipe")
    sensors = (
        f'[[sensor]]\nname = "wild"\nkind = "hostile"\ninterval_s = 0.05\ndeadline_s = 0.3\n'
        f'trigger = "{folder}/deed"\npipe = "{folder}/pipe"\n'
        '[[sensor]]\nname = "host"\nkind = "host"\ninterval_s = 0.05\n'
    )
    more = TRUSTED + outbox_table(folder / "outbox.db") + "[watchdog]\nstall_s = 0.5\n"
    config = agent_config(folder, port, who, more=more, sensor=sensors)
    return Place(folder, config, installed(folder))


@pytest.fixture
def agent_place(tmp_path: Path, credentials: CredentialsFactory) -> Place:
    return place(tmp_path, credentials.device("boiler-7"), free_port())


async def test_systemd_hears_that_the_agent_is_ready_lives_and_stops(agent_place: Place) -> None:
    async with agent_place.running() as (agent, systemd):
        await systemd.hears("WATCHDOG=1", times=4)
        times = [at_s for at_s, line in systemd.heard if line == "WATCHDOG=1"]
        assert times[-1] - times[0] < 4 * WATCHDOG_S
        assert any(
            line.startswith("STATUS=2 sensors; ") and line.endswith("not connected") for _, line in systemd.heard
        )
        assert await agent.stop() == 0
        await systemd.hears("STOPPING=1")
    assert [line for _, line in systemd.heard].index("READY=1") == 0
    assert agent_place.record["state"] == "stopped"
    assert not (agent_place.folder / "outbox.stacks").exists()
    assert agent_place.values("agent.restart") == []


async def test_a_driver_that_hangs_in_the_kernel_is_set_aside_and_comes_back(agent_place: Place) -> None:
    async with agent_place.running() as (agent, systemd):
        agent_place.do(Deed.PIPE)
        await agent.says("sensor wild is quarantined for")
        assert agent.count("sensor host") == 0
        await systemd.hears("STATUS=2 sensors, quarantined: wild")
        await systemd.hears("WATCHDOG=1", times=systemd.count("WATCHDOG=1") + 2)
        agent_place.pipe.write_bytes(b"at last")
        await agent.says("sensor wild works again")
        assert await agent.stop() == 0


async def test_a_driver_that_exits_takes_only_its_lane_along(agent_place: Place) -> None:
    async with agent_place.running() as (agent, _):
        agent_place.do(Deed.EXIT)
        await agent.says("the lane of sensor:wild crashed at sensor wild (SystemExit: taking all down)")
        await agent.says("sensor wild works again")
        assert await agent.stop() == 0


async def test_an_event_loop_that_stands_still_ends_the_agent_and_the_next_one_says_why(agent_place: Place) -> None:
    async with agent_place.running() as (agent, systemd):
        agent_place.do(Deed.LOOP)
        assert await agent.ended() == EXIT_HUNG
        await agent.says("the agent hangs and is going to end: the event loop has shown no life")
        ended_s = asyncio.get_running_loop().time()
        fed_s = max(at_s for at_s, line in systemd.heard if line == "WATCHDOG=1")
        assert ended_s - fed_s > 0.3
    assert agent_place.record["state"] == "hung"
    stacks = (agent_place.folder / "outbox.stacks").read_text()
    assert stacks.startswith("the event loop has shown no life")
    assert "sleep_in_the_loop" in stacks
    async with agent_place.running() as (agent, _):
        await agent.says("the agent before this one did not end as asked: hung: the event loop")
        await agent.stop()
    (said,) = agent_place.values("agent.restart")
    assert isinstance(said, str)
    assert "hung: the event loop has shown no life" in said
    assert "outbox.stacks.last" in said


async def test_an_extension_that_keeps_the_interpreter_starves_the_watchdog_and_leaves_its_stacks(
    agent_place: Place,
) -> None:
    async with agent_place.running() as (agent, systemd):
        await systemd.hears("WATCHDOG=1", times=systemd.count("WATCHDOG=1") + 2)  # it has been looked at
        agent_place.do(Deed.INTERPRETER)
        stacks = agent_place.folder / "outbox.stacks"
        async with asyncio.timeout(20):
            while not (stacks.exists() and stacks.stat().st_size):  # noqa: ASYNC110 - a file wakes nobody
                await asyncio.sleep(0.02)
        await systemd.hears_nothing("WATCHDOG=1", WATCHDOG_S)
        agent.signal(signal.SIGABRT)  # as systemd does
        assert await agent.ended() == -signal.SIGABRT
    assert "in _do" in stacks.read_text()
    async with agent_place.running() as (agent, _):
        await agent.says("killed: it ended without a word; stacks of its threads are in")
        await agent.stop()


async def test_a_process_that_is_stopped_says_nothing_and_then_goes_on(agent_place: Place) -> None:
    async with agent_place.running() as (agent, systemd):
        await systemd.hears("WATCHDOG=1")
        agent.signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, agent.pid, os.WSTOPPED | os.WNOWAIT)
        await systemd.hears_nothing("WATCHDOG=1", 1.5 * WATCHDOG_S)
        agent.signal(signal.SIGCONT)
        await systemd.hears("WATCHDOG=1", times=systemd.count("WATCHDOG=1") + 3)
        assert await agent.stop() == 0
        assert agent.count("hang") == 0
    assert not (agent_place.folder / "outbox.stacks").exists()


async def test_kills_and_reboots_are_told_apart_after_the_next_start(agent_place: Place) -> None:
    async with agent_place.running() as (agent, _):
        await agent.kill()
    async with agent_place.running() as (agent, _):
        await agent.says("the agent before this one did not end as asked: killed: it ended without a word")
        assert await agent.stop() == 0
    (agent_place.folder / "outbox.run").write_text(json.dumps(agent_place.record | {"boot_id": "another"}))
    async with agent_place.running() as (agent, _):
        await agent.says("the agent before this one ended as asked: rebooted after a clean stop")
        await agent.stop()
    (agent_place.folder / "outbox.run").write_bytes(b"\0\0\0")
    async with agent_place.running() as (agent, _):
        await agent.says("unknown: the record of the run before is damaged")
        await agent.stop()
    said = [str(text) for text in agent_place.values("agent.restart")]
    assert [text.strip('"').partition(":")[0].partition(" (")[0] for text in said] == [
        "killed",
        "rebooted after a clean stop",
        "unknown",
    ]


@pytest.mark.parametrize(
    ("deed", "cause"),
    [("crash", "ZeroDivisionError: a mistake of the uplink"), ("hang", "it has shown no life for 1.5 s")],
)
async def test_an_uplink_that_fails_is_begun_anew_alone(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool, deed: str, cause: str
) -> None:
    made = place(tmp_path, credentials.device("boiler-7"), broker.port)
    made.environment = {**made.environment, "BREAK_UPLINK": deed}
    async with server_side(broker, credentials.service(), pool):
        async with made.running() as (agent, systemd):
            await agent.says("uplink up")
            await agent.says(f"the uplink failed: {cause}; it is begun anew in")
            await agent.says("uplink up", times=2)
            await systemd.hears("WATCHDOG=1", times=systemd.count("WATCHDOG=1") + 2)
            assert agent.count("sensor") == 0
            assert await agent.stop() == 0
        made.environment = installed_again(made.environment)
        async with made.running() as (agent, systemd):  # delivers what the stop had not time for
            await systemd.hears("STATUS=2 sensors; ", times=2)
            assert await agent.stop() == 0
        account = await reading_of(pool, "").account("boiler-7", verify=True)
    assert (account.missing, account.duplicates_stored, account.dropped_total) == (0, 0, 0)
    assert account.stored > 100


def installed_again(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment in which nothing is broken."""
    return {name: value for name, value in environment.items() if name != "BREAK_UPLINK"}
