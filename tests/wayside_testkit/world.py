"""A world for the protocol: the agent's and the server's own code over a lossy broker, a crashing database, failing
boards and jumping clocks, all from one seed and in virtual time.

The oracle keeps three sets apart (attempted, accepted, stored) beside the declared drops, each sample with its own
value, so that loss, doubling, invention and halves of batches all show.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from wayside_edge.outbox import core
from wayside_edge.ports import Appended, ClosedBatch, EpochState, Loaded, Settled
from wayside_edge.uplink.session import Uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_server.domain.ingest import (
    Key,
)
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.service import Ingest
from wayside_shared.batch import Column, encode_body
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.ranges import Ranges
from wayside_shared.session import ServerHello
from wayside_testkit.rows import ModelRows
from wayside_testkit.simulated_broker import WALL_NS, SimBroker, SimSession, SimTransport
from wayside_testkit.simulated_server import Database, Harshness


@dataclass
class Oracle:
    """What is true, sample by sample."""

    attempted: set[float] = field(default_factory=set)
    accepted: set[float] = field(default_factory=set)
    forgiven: set[float] = field(default_factory=set)

    def verdict(self, database: "Database") -> dict[str, int]:
        """Counts of what must not be; all are 0 when the promise holds."""
        stored = Counter(value for values in database.samples.values() for value in values)
        dropped = database.dropped()
        return {
            "lost": len(self.accepted - self.forgiven - stored.keys() - dropped),
            "duplicated": sum(times - 1 for times in stored.values()),
            "phantom": len(stored.keys() - self.attempted),
            "partial": sum(len(values) != database.ledger_n[key] for key, values in database.samples.items()),
        }


class SimClock:
    """A board's clocks in virtual time; the wall clock can jump."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.jump_ns = 0

    def start(self) -> None:
        """The board boots, or its agent does."""

    def boottime_ns(self) -> int:
        return int(self._loop.time() * NS_PER_S)

    def wall_ns(self) -> int:
        return WALL_NS + self.boottime_ns() + self.jump_ns

    def synced(self) -> bool:
        return True

    def boot_id(self) -> bytes:
        return b"simulated-boot--"


class DarkClock(SimClock):
    """The clocks of a board without a battery: each boot begins at 0 and in 1970, and most never learn the time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        super().__init__(loop)
        self._random = random
        self._boots = 0
        self.start()

    def start(self) -> None:
        self._boots += 1
        self._began_s = self._loop.time()
        self._synced_s = self._began_s + self._random.choice([0.0, 5.0, 1e9, 1e9, 1e9])

    def boottime_ns(self) -> int:
        return int((self._loop.time() - self._began_s) * NS_PER_S) + 1

    def wall_ns(self) -> int:
        return self.true_ns() if self.synced() else self.boottime_ns()

    def true_ns(self) -> int:
        """UTC, which the board may not know."""
        return WALL_NS + int(self._began_s * NS_PER_S) + self.boottime_ns()

    def synced(self) -> bool:
        return self._loop.time() >= self._synced_s

    def sync(self) -> None:
        """Let it learn the time now."""
        self._synced_s = self._loop.time()

    def boot_id(self) -> bytes:
        return f"boot-{self._boots}".encode().ljust(16, b".")


class ModelOutbox:
    """`ports.OutboxDelivery` over rows in memory, with a moment before and after each commit for a crash to hit."""

    def __init__(self, rows: ModelRows, limits: core.Limits, on_drop: Callable[[Sequence[int]], None]) -> None:
        self.rows = rows
        self._limits = limits
        self._on_drop = on_drop

    async def append(self, batch: ClosedBatch) -> Appended:
        await asyncio.sleep(0)
        with self.rows.transaction() as rows:
            appended = core.append(rows, batch, self._limits)
        self._on_drop(appended.dropped)
        await asyncio.sleep(0)
        return appended

    async def load(self, seqs: Any) -> Loaded:
        await asyncio.sleep(0)
        found = [core.timed(self.rows, row) for seq in seqs if (row := self.rows.get(seq)) is not None]
        current, counters = core.counters(self.rows)
        return Loaded(found, current, counters, (), ())

    async def note_clock(self, boot_id: bytes, clock: ClockMap) -> None:
        await asyncio.sleep(0)
        with self.rows.transaction() as rows:
            core.note_clock(rows, boot_id, clock)
        await asyncio.sleep(0)

    async def settle(self, ack: Any) -> Settled:
        await asyncio.sleep(0)
        with self.rows.transaction() as rows:
            settled = core.settle(rows, ack)
        await asyncio.sleep(0)
        return settled

    async def rewind(self, hello: ServerHello) -> Sequence[int]:
        with self.rows.transaction() as rows:
            return core.rewind(rows, hello)

    async def streams(self) -> Sequence[EpochState]:
        return self.rows.kept_epochs()

    async def fork(self) -> None:
        with self.rows.transaction() as rows:
            rows.begin_epoch()


class Board:
    """A device: rows that survive, and an agent that does not."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.rows = ModelRows(name=name)
        loop = asyncio.get_running_loop()
        self.clock = DarkClock(loop, world.random) if world.dark else SimClock(loop)
        self.image: ModelRows | None = None
        self.power = asyncio.Lock()
        self.tasks: list[asyncio.Task[None]] = []
        self._made = 0

    def start(self) -> None:
        """Boot: the agent finds what the rows hold."""
        self.clock.start()
        outbox = ModelOutbox(self.rows, self.world.limits, lambda _: None)
        settings = UplinkSettings(host="simulated", device=self.name)
        pending = Ranges(head.seq for head in self.rows.pending(0, 1 << 30))
        transport = SimTransport(self.world.broker, self.name)
        random = Random(self.world.random.random())
        holding = not self.clock.synced()
        uplink = Uplink(settings, transport, outbox, pending, self.clock, "simulated", random, holding=holding)
        tasks = (uplink.run(), self._sense(outbox, uplink), self._watch_clock(outbox, uplink))
        self.tasks = [asyncio.create_task(task) for task in tasks]

    async def die(self) -> None:
        """Lose power at whatever point it is."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for task in self.tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def restore_card(self) -> None:
        """Put an older image of the card in; what only the newer one held is gone and nobody's fault."""
        if self.image is not None:
            delivered = {value for values in self.world.database.samples.values() for value in values}
            held = {value for head in self.rows.pending(0, 1 << 30) for value in self._values(self.rows, head.seq)}
            kept = {value for head in self.image.pending(0, 1 << 30) for value in self._values(self.image, head.seq)}
            self.world.oracle.forgiven |= held - kept - delivered
            self.rows = copy.deepcopy(self.image)
            self.rows.epochs_made += 1_000 * self.world.random.randrange(1, 1_000)
        self.image = copy.deepcopy(self.rows)

    def _values(self, rows: ModelRows, seq: int) -> list[float]:
        row = rows.get(seq)
        return [] if row is None else self.world.values_of.get(row.body, [])

    async def _watch_clock(self, outbox: ModelOutbox, uplink: Uplink) -> None:
        while not self.clock.synced():  # noqa: ASYNC110 - as the agent does: the kernel tells nobody
            await asyncio.sleep(2.0)
        now = ClockMap(self.clock.boottime_ns(), self.clock.wall_ns(), ClockState.SYNCED)
        await outbox.note_clock(self.clock.boot_id(), now)
        uplink.release()
        await asyncio.Event().wait()

    async def _sense(self, outbox: ModelOutbox, uplink: Uplink) -> None:
        while True:
            await asyncio.sleep(self.world.random.uniform(0.1, 0.9))
            if not self.world.sensing:
                continue
            values = [self.world.new_value() for _ in range(self.world.random.randrange(1, 6))]
            now = self.clock.boottime_ns()
            times = [now + i for i in range(len(values))]
            body = encode_body([Column("t", "Cel", times, values)])
            self.world.values_of[body] = values
            self.world.oracle.attempted.update(values)
            state = ClockState.SYNCED if self.clock.synced() else ClockState.UNSYNCED
            clock = ClockMap(now, self.clock.wall_ns(), state)
            if isinstance(self.clock, DarkClock):
                self.world.true_ns.update((value, self.clock.true_ns() + i) for i, value in enumerate(values))
            appended = await outbox.append(ClosedBatch(len(values), body, self.clock.boot_id(), clock))
            self.world.oracle.accepted.update(values)
            uplink.accepted(appended)


class World:
    """Everything, from one seed.

    Args:
        seed: of every choice.
        harsh: how bad it is.
        boards: how many devices.
        limits: of their outboxes.
        dark: the boards wake up without the time.
    """

    def __init__(
        self, seed: int, harsh: Harshness, boards: int = 3, limits: core.Limits | None = None, *, dark: bool = False
    ) -> None:
        self.dark = dark
        self.true_ns: dict[float, int] = {}
        self.random = Random(seed)
        self.harsh = harsh
        self.limits = limits or core.Limits(1 << 30, 1 << 30, 1 << 62)
        self.oracle = Oracle()
        self.values_of: dict[bytes, list[float]] = {}
        self.sensing = True
        self._values = 0
        self._boards = boards

    def new_value(self) -> float:
        """A value that no other sample has."""
        self._values += 1
        return float(self._values)

    async def run(self, seconds: float) -> dict[str, int]:
        """Live through `seconds` of trouble, then let everything drain in peace.

        Returns:
            The oracle's verdict, with the number of accepted samples under "accepted".
        """
        self.database = Database(self.random, self.harsh)
        self.broker = SimBroker(self.random, self.harsh, self.database)
        self.backup = self.database.state()
        self.boards = [Board(self, f"board-{i}") for i in range(self._boards)]
        ingests = [self._start_ingest() for _ in range(2)]
        for board in self.boards:
            board.start()
        troubles = [asyncio.create_task(task) for task in self._troubles(ingests)]
        await asyncio.sleep(seconds)
        for board in self.boards:
            # A board that is off when the trouble ends would stay off.
            await board.power.acquire()
        for task in troubles:
            task.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)
        for task in troubles:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        await self._drain(ingests)
        for board in self.boards:
            await board.die()
        for ingest in ingests:
            ingest.cancel()
        await asyncio.gather(*ingests, return_exceptions=True)
        self._note_bodies()
        return {"accepted": len(self.oracle.accepted), **self.oracle.verdict(self.database)}

    async def _drain(self, ingests: list[asyncio.Task[None]]) -> None:
        self.sensing = False
        for board in self.boards:
            if isinstance(board.clock, DarkClock):
                board.clock.sync()
        peace = Harshness(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        self.broker.harsh = self.database.harsh = peace
        self.broker.die()
        deadline = asyncio.get_running_loop().time() + 900
        # Two quiet looks a minute apart: a rewind may still be on its way when the first finds nothing pending.
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(60)
            for task in [*ingests, *(task for board in self.boards for task in board.tasks)]:
                if task.done():
                    task.result()
            quiet = quiet + 1 if not any(board.rows.pending(0, 1) for board in self.boards) else 0
            assert asyncio.get_running_loop().time() < deadline, "the outboxes do not drain"

    def _start_ingest(self) -> asyncio.Task[None]:
        def new_session(on_messages: Callable[[], None], on_end: Callable[[str], None]) -> SimSession:
            return SimSession(self.broker, on_messages, on_end)

        pace = Pace(Rates(RateLimits(), asyncio.get_running_loop().time))
        ingest = Ingest(new_session, self.database, pace, Random(self.random.random()))
        return asyncio.create_task(ingest.run())

    def _troubles(self, ingests: list[asyncio.Task[None]]) -> list[Any]:
        async def devices() -> None:
            board = self.random.choice(self.boards)
            async with board.power:
                await board.die()
                await asyncio.sleep(self.random.uniform(0, 3))
                board.start()

        async def cards() -> None:
            board = self.random.choice(self.boards)
            async with board.power:
                await board.die()
                board.restore_card()
                board.start()

        async def broker() -> None:
            self.broker.die()

        async def server() -> None:
            self.database.restore(self.backup)
            self.backup = self.database.state()
            await ingest()

        async def ingest() -> None:
            at = self.random.randrange(len(ingests))
            ingests[at].cancel()
            await asyncio.gather(ingests[at], return_exceptions=True)
            ingests[at] = self._start_ingest()

        async def clocks() -> None:
            board = self.random.choice(self.boards)
            board.clock.jump_ns = self.random.choice([0, 3_600, -3_600, 86_400, 315_360_000, -315_360_000]) * NS_PER_S

        harsh = self.harsh
        kinds = [
            (harsh.device_dies_s, devices),
            (harsh.broker_dies_s, broker),
            (harsh.ingest_dies_s, ingest),
            (harsh.card_restored_s, cards),
            (harsh.server_restored_s, server),
            (harsh.clock_jumps_s, clocks),
        ]
        return [self._repeat(mean_s, trouble) for mean_s, trouble in kinds if mean_s]

    async def _repeat(self, mean_s: float, trouble: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / mean_s))
            await trouble()

    def mistimed(self) -> list[str]:
        """Samples stored with a time that is further from the true one than their clock map admits."""
        wrong = []
        for value, (time_us, clock) in self.database.times.items():
            error_us = abs(time_us - self.true_ns[value] // 1_000)
            allowed_us = clock.err_ms * 1_000 + 10
            if clock.state is ClockState.UNSYNCED or error_us > allowed_us:
                wrong.append(f"{value:.0f} is {error_us} us off, {clock}")
        return wrong

    def _note_bodies(self) -> None:
        """Dropped batches are known by number only; find what they held."""
        for board in self.boards:
            for key, values in board_values(board).items():
                self.database.bodies[key] = values


def board_values(board: Board) -> dict[Key, list[float]]:
    """The samples of each batch that a board still keeps, by ledger key."""
    return {
        (board.name, item.row.epoch, seq): board.world.values_of.get(item.row.body, [])
        for seq, item in board.rows.stored.items()
    }
