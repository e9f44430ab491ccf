"""The server's surroundings in virtual time: a database that crashes, and how bad the world is."""

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from wayside_server.domain.ingest import (
    Batch,
    Entry,
    Garbage,
    Hello,
    Item,
    Key,
    NewEntry,
    Plan,
    Settlement,
    StreamKey,
    acks,
    decide,
    keys_of,
)
from wayside_server.domain.takeovers import Shared
from wayside_server.errors import StorageError
from wayside_shared.clock import ClockMap
from wayside_shared.columns import Body
from wayside_shared.ranges import Ranges
from wayside_shared.session import ServerHello


@dataclass(frozen=True, slots=True)
class Harshness:
    """How bad the world is: probabilities a message, or mean seconds between events (0 for never)."""

    lose: float = 0.05
    double: float = 0.05
    database_fails: float = 0.05
    commit_unknown: float = 0.05
    device_dies_s: float = 20.0
    broker_dies_s: float = 25.0
    ingest_dies_s: float = 25.0
    card_restored_s: float = 0.0
    server_restored_s: float = 0.0
    clock_jumps_s: float = 30.0


class Database:
    """`domain.ingest.IngestStore` in memory: it fails before a commit, or after it without saying so."""

    def __init__(self, random: Random, harsh: Harshness) -> None:
        self._random = random
        self.harsh = harsh
        self.ledger: dict[Key, Entry] = {}
        self.ledger_n: dict[Key, int] = {}
        self.samples: dict[Key, list[float]] = {}
        self.first_seq: dict[StreamKey, int] = {}
        self.bodies: dict[Key, list[float]] = {}
        self.times: dict[float, tuple[int, ClockMap]] = {}
        """UTC microseconds of each stored sample, with the map that gave it."""

    async def settle(self, items: Sequence[Item]) -> Settlement:
        await asyncio.sleep(self._random.uniform(0, 0.05))
        if self._random.random() < self.harsh.database_fails:
            raise StorageError("simulated: crashed before the commit")
        settlement = self._commit(items)
        await asyncio.sleep(self._random.uniform(0, 0.02))
        if self._random.random() < self.harsh.commit_unknown:
            raise StorageError("simulated: the connection broke during the commit")
        return settlement

    async def count_refusals(self, kind: str, count: int, detail: str, device: str | None) -> None:
        raise AssertionError("the simulated broker refuses nobody")

    async def note_incidents(self, found: Sequence[Shared]) -> None:
        raise AssertionError("the simulated broker logs nothing")

    def committed(self, item: Item) -> bool:
        """Whether `item` may be acknowledged to the broker."""
        return not isinstance(item, Batch) or item.key in self.ledger

    def dropped(self) -> set[float]:
        """Samples of batches that their device declared dropped."""
        return {
            value
            for key, entry in self.ledger.items()
            if entry.outcome.startswith("dropped:")
            for value in self.bodies.get(key, ())
        }

    def state(self) -> dict[str, Any]:
        """A backup."""
        return copy.deepcopy({"ledger": self.ledger, "ledger_n": self.ledger_n, "samples": self.samples})

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a backup."""
        self.__dict__.update(copy.deepcopy(state))

    def _commit(self, items: Sequence[Item]) -> Settlement:
        batches = [item for item in items if isinstance(item, Batch)]
        assert not any(isinstance(item, Garbage) for item in items)
        for batch in batches:
            self.first_seq.setdefault(batch.stream, batch.envelope.first_seq)
        plan: Plan = decide(batches, {key: self.ledger[key] for key in keys_of(batches) if key in self.ledger})
        for entry in plan.entries:
            self._enter(entry)
        for batch in plan.stored:
            assert isinstance(batch.content, Body)
            values = [v for b in batch.content.blocks if b.numbers is not None for v in b.numbers.tolist()]
            self.samples.setdefault(batch.key, []).extend(values)
            times = [t for b in batch.content.blocks if b.numbers is not None for t in b.times_us.tolist()]
            self.times.update((v, (t, batch.envelope.clock)) for v, t in zip(values, times, strict=True))
        answers = [self._answer(item) for item in items if isinstance(item, Hello)]
        marks = {batch.stream: self._watermark(batch.stream) for batch in batches}
        return Settlement(acks(plan, marks), answers, 0, 0, len(plan.dead))

    def _enter(self, entry: NewEntry) -> None:
        assert entry.key not in self.ledger, "the ledger's primary key"
        self.ledger[entry.key] = Entry(entry.digest, entry.outcome)
        self.ledger_n[entry.key] = entry.n

    def _answer(self, item: Hello) -> tuple[str, ServerHello]:
        stream = (item.raw.device, item.hello.epoch)
        self.first_seq.setdefault(stream, item.hello.first_seq)
        upto = self._watermark(stream)
        seqs = [seq for device, epoch, seq in self.ledger if (device, epoch) == stream]
        top = max(seqs, default=self.first_seq[stream] - 1)
        ranges = Ranges(seq for seq in seqs if seq > upto).pairs()
        return stream[0], ServerHello(item.hello.nonce, item.hello.epoch, upto, top, "simulated", ranges)

    def _watermark(self, stream: StreamKey) -> int:
        upto = self.first_seq[stream] - 1
        while (*stream, upto + 1) in self.ledger:
            upto += 1
        return upto
