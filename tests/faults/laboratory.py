"""One installation under fire: real processes, killed at random and at named points, then counted.

Between the kills nothing is helped along: what was killed is started again as a service manager would, and all else
is the product's own affair.
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from faults.agent import STOP, Plan
from faults.ledger import Ledger
from faults.points import AGENT_POINTS, EXIT_KILLED, INGEST_POINTS
from faults.processes import Postgres, Program, Victim, module
from wayside_server.identity.home import Home
from wayside_server.identity.installation import load_authority
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_testkit.broker import free_port, mosquitto_binary
from wayside_testkit.credentials import CredentialsFactory

BATCH_PAUSE_S = 0.05
"""Twenty batches a second and device: two cores keep up with six devices and with the restarts."""
KILL_PAUSE_S = (0.3, 1.2)
DOWN_S = (0.0, 0.5)
"""How long the dead stay dead: now a service manager's quick restart, now time for others to notice."""
DRAIN_DEADLINE_S = 60.0
POINT_DEADLINE_S = 180.0
"""Three times the longest back-off of a link that keeps falling: by then every point has been passed."""
PASSES = 5
"""A trap springs at one of its first passes, drawn by lot: not always with an empty pipeline."""
WEIGHTS = {"agent": 5, "broker": 3, "ingest": 2, "postgresql": 2}


class LaboratoryError(Exception):
    """Something happened that is not a kill of ours; the folder's logs tell more."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do: random kills, kills at each named point, and agents that are killed at random."""

    kills: int
    at_each_point: int
    agents: int = 4


@dataclass
class Laboratory:
    """The installation and its processes.

    Args:
        folder: an existing, empty folder with a short path, for PostgreSQL's socket.
        random: decides who is killed, when and how.
        size: how much to do.
    """

    folder: Path
    random: Random
    size: Size
    kills: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    drain_s: float = 0.0

    def __post_init__(self) -> None:
        self.home = Home(self.folder / "home")
        self.ledgers: dict[str, Ledger] = {}
        self.victims: list[Victim] = []
        self._down: set[str] = set()
        self._trapped: list[Program] = []
        self._began = time.monotonic()
        for name in ("ledgers", "logs", "outboxes", "devices"):
            (self.folder / name).mkdir()

    @property
    def seconds(self) -> float:
        """Since it was built."""
        return time.monotonic() - self._began

    def install(self) -> None:
        """Make the installation, its database and its devices; nothing of ours runs yet but PostgreSQL."""
        self.broker_port, self.api_port = free_port(), free_port()
        ports = ["--broker-port", str(self.broker_port), "--api-port", str(self.api_port)]
        self.server("init", "--host", "localhost", "--listen", "127.0.0.1", *ports)
        self.postgres = Postgres(EmbeddedPostgres(self.home.postgres), self.random)
        self.postgres.start()
        self.server("migrate")
        self.credentials = CredentialsFactory(self.folder / "devices", load_authority(self.home))
        self.broker = Program(
            "broker", "broker", [mosquitto_binary(), "-c", str(self.home.broker_config)], self._log("broker")
        )
        # Instance 2 is the one that the named points are tried on.
        self.ingest = Program(
            "ingest", "ingest-1", self._server_command("ingest", "--instance", "1"), self._log("ingest-1")
        )
        self.agents = [self._agent(f"kill-{i}", i) for i in range(1, self.size.agents + 1)]
        self.victims = [*self.agents, self.broker, self.ingest, self.postgres]

    def server(self, *words: str) -> str:
        """What a command of wayside-server prints."""
        done = subprocess.run(self._server_command(*words), check=False, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise LaboratoryError(f"wayside-server {words[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def program(self, *words: str) -> Program:
        """A role of wayside-server as a process that is not killed."""
        return Program("server", words[0], self._server_command(*words), self._log(words[0]))

    async def run(self) -> None:
        """Kill until all is killed, then let everything settle."""
        for victim in (self.broker, self.ingest, *self.agents):
            victim.start()
        async with asyncio.TaskGroup() as tasks:
            progress = tasks.create_task(self._report())
            async with asyncio.TaskGroup() as trouble:
                trouble.create_task(self._kill_at_random())
                trouble.create_task(self._kill_at_points())
            progress.cancel()
        await self._drain()

    def stop(self) -> None:
        """End everything that is left, however."""
        for victim in [*self._trapped, *self.victims]:
            if victim is self.postgres:
                self.postgres.stop()
            else:
                victim.kill()

    async def _kill_at_random(self) -> None:
        restarts: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.size.kills):
                await asyncio.sleep(self.random.uniform(*KILL_PAUSE_S))
                self._expect_life()
                up = [victim for victim in self.victims if victim.name not in self._down]
                victim = self.random.choices(up, [self._weight(victim) for victim in up])[0]
                self._down.add(victim.name)
                self.kills[victim.kind] += 1
                restarts.add(tasks.create_task(self._kill_one(victim)))

    async def _kill_one(self, victim: Victim) -> None:
        await asyncio.to_thread(victim.kill)
        await asyncio.sleep(self.random.uniform(*DOWN_S))
        await asyncio.to_thread(victim.start)
        self._down.discard(victim.name)

    async def _kill_at_points(self) -> None:
        rounds = self.size.at_each_point
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._spring(AGENT_POINTS, rounds, self._trapped_agent))
            tasks.create_task(self._spring(INGEST_POINTS, rounds, self._trapped_ingest))

    async def _spring(self, points: Sequence[str], rounds: int, make: Callable[[str, int], Program]) -> None:
        for point in [point for point in points for _ in range(rounds)]:
            process = make(point, self.random.randint(1, PASSES))
            self._trapped.append(process)
            process.start()
            try:
                async with asyncio.timeout(POINT_DEADLINE_S):
                    while (status := process.ended()) is None:  # noqa: ASYNC110 - another process gives no event
                        await asyncio.sleep(0.02)
            except TimeoutError as error:
                process.kill()
                raise LaboratoryError(f"{process.name} did not come {point} in {POINT_DEADLINE_S:.0f} s") from error
            if status != EXIT_KILLED:
                raise LaboratoryError(f"{process.name} ended with {status}: {process.last_words()}")
            self.points[point] += 1
        last = make("", 1)
        last.start()
        self.victims.append(last)
        if last.kind == "agent":
            self.agents.append(last)

    def _trapped_agent(self, point: str, passes: int) -> Program:
        return self._agent("point-1", self.size.agents + 1, point, passes)

    def _trapped_ingest(self, point: str, passes: int) -> Program:
        command = module("faults.ingest", str(self.home.path), "2", point, str(passes))
        return Program("ingest", "ingest-2", command, self._log("ingest-2"))

    async def _drain(self) -> None:
        """Everything runs again; the sources end, and what was accepted must arrive."""
        self._expect_life()
        began = time.monotonic()
        (self.folder / "ledgers" / STOP).touch()
        while time.monotonic() - began < DRAIN_DEADLINE_S:
            statuses = [agent.ended() for agent in self.agents]
            failed = [agent for agent, status in zip(self.agents, statuses, strict=True) if status]
            if failed:
                raise LaboratoryError(f"{failed[0].name} ended badly: {failed[0].last_words()}")
            if all(status == 0 for status in statuses):
                self.drain_s = time.monotonic() - began
                return
            await asyncio.sleep(0.05)
        late = [agent.name for agent in self.agents if agent.ended() is None]
        raise LaboratoryError(f"{', '.join(late)} did not drain within {DRAIN_DEADLINE_S:.0f} s of the last kill")

    def _expect_life(self) -> None:
        for victim in self.victims:
            status = None if victim.name in self._down else victim.ended()
            if status is not None:
                words = victim.last_words() if isinstance(victim, Program) else ""
                raise LaboratoryError(f"{victim.name} ended by itself with {status}: {words}")

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(10)
            taken = sum(len(ledger.accepted()) for ledger in self.ledgers.values())
            tally = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
            print(
                f"{self.seconds:4.0f} s  {self.kills.total()} of {self.size.kills} random kills ({tally}),"
                f" {self.points.total()} at named points, {taken} batches accepted",
                flush=True,
            )

    def _agent(self, name: str, number: int, point: str = "", passes: int = 1) -> Program:
        if name not in self.ledgers:
            self.ledgers[name] = Ledger(self.folder / "ledgers", name)
            self.credentials.device(name)
        chain = next((self.folder / "devices").glob(f"{name}-*.pem"))
        plan = Plan(
            device=name,
            number=number,
            outbox=str(self.folder / "outboxes" / name / "outbox.db"),
            ledger=str(self.folder / "ledgers"),
            pause_s=BATCH_PAUSE_S,
            port=self.broker_port,
            ca_file=str(self.home.ca_file),
            cert_file=str(chain),
            key_file=str(chain.with_suffix(".key")),
            point=point,
            passes=passes,
        )
        return Program("agent", name, module("faults.agent", plan.text()), self._log(name))

    def _weight(self, victim: Victim) -> float:
        alike = sum(other.kind == victim.kind for other in self.victims)
        return WEIGHTS[victim.kind] / alike

    def _server_command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("wayside-server")), *words, "--home", str(self.home.path)]

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"
