"""One tenant makes ten times the noise it usually makes; how long another one's requests and batches take meanwhile.

Both tenants share the whole installation: its API, broker, ingest and database. Quiet and loud turns follow each other
in one run. The loud tenant's own programs run on the same cores, so what they take is in the figures too.
"""

import asyncio
import json
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from bench.batches import bodies, messages
from bench.figures import Figure, Size, progress, shown
from bench.loud import Asking, Loud, Target
from bench.publisher import Load
from bench.server_side import Installation, installed
from wayside_server.storage.database import open_pool
from wayside_shared import topics
from wayside_shared.topics import Channel
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials
from wayside_testkit.delivery import EdgeSide, edge_side
from wayside_testkit.installation import record

USUAL = (20.0, 20.0)
"""Requests and one-second batches a second: some people at the console, and 20 devices."""
LOUDER = 10
TURNS = {"quiet": (1, 1), "asking": (LOUDER, 1), "sending": (1, LOUDER), "both": (LOUDER, LOUDER)}
"""How many times the usual requests and batches."""
DEVICES = 20
PROBE_EVERY_S = 0.04
SETTLE_S = 1.0
TESTS = Path(__file__).resolve().parent.parent
AGO_S = 3_600


@dataclass
class Times:
    """Seconds that the neighbour's requests and batches took."""

    requests: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)


def measure(group: str, size: Size) -> Iterator[Figure]:
    """99th percentiles of the neighbour, loud over quiet."""
    rounds, turn_s = size.of(6, 1), size.of(8, 2)
    with installed() as made, made.broker(), made.ingest(), made.role("api", ready="serving"):
        times, answers = asyncio.run(_taken(made, rounds, turn_s))
    said = ", ".join(f"{status} to {n:,} requests" for status, n in sorted(answers.items()))
    quiet = times["quiet"]
    for turn, kind, name in (
        ("asking", "requests", "neighbour_request_p99"),
        ("sending", "batches", "neighbour_batch_p99"),
        ("both", "requests", "neighbour_request_p99_both"),
        ("both", "batches", "neighbour_batch_p99_both"),
    ):
        before, after = getattr(quiet, kind), getattr(times[turn], kind)
        requests, batches = (usual * factor for usual, factor in zip(USUAL, TURNS[turn], strict=True))
        how = (
            f"a tenant goes from {USUAL[0]:.0f} requests and {USUAL[1]:.0f} batches a second to {requests:.0f} and"
            f" {batches:.0f} (in all: {said}); {len(after)} {kind} of another: median and p99"
            f" {shown(median(before) * 1e3)} and {shown(_p99(before) * 1e3)} ms, then {shown(median(after) * 1e3)} and"
            f" {shown(_p99(after) * 1e3)} ms"
        )
        ratio = _p99(after) / _p99(before)
        yield Figure(group, name, ratio, "times", how, ratio)


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


async def _taken(made: Installation, rounds: int, turn_s: float) -> tuple[dict[str, Times], dict[str, int]]:
    """Times by turn, and how the loud one's requests were answered."""
    made.command("tenant", "create", "neighbour")
    seconds = rounds * (turn_s + SETTLE_S) + 10
    count = int(USUAL[1] * sum(factor for _, factor in TURNS.values()) * seconds / DEVICES)
    mine = await _devices(made, "loud", DEVICES, "default")
    (theirs,) = await _devices(made, "calm", 1, "neighbour")
    every = bodies(count, 1)
    loads = [
        Load(
            *(who.name, topics.topic(who.name, Channel.UP), str(who.ca_file), str(who.cert_file), str(who.key_file)),
            messages(who.name, every, AGO_S),
        )
        for who in mine
    ]
    target = _target(made, "default", mine[0], "127.0.0.2")
    asking = Asking(_target(made, "neighbour", theirs, "127.0.0.3"))
    times = {turn: Times() for turn in TURNS}
    with _noise(made.folder / "loud.pickle", Loud(target, made.broker_port, loads)) as noise:
        async with _neighbour(made, theirs, asking) as device:
            for round_ in range(rounds):
                for turn, (requests, batches) in TURNS.items():
                    assert noise.stdin is not None
                    noise.stdin.write(f"{USUAL[0] * requests} {USUAL[1] * batches}\n")
                    noise.stdin.flush()
                    await asyncio.sleep(SETTLE_S)
                    into = times[turn]
                    await asyncio.gather(_ask(asking, into.requests, turn_s), _deliver(device, into.batches, turn_s))
                progress(f"neighbours, round {round_ + 1} of {rounds}")
        answers, _ = noise.communicate(timeout=60)
    return times, json.loads(answers)


async def _ask(asking: Asking, into: list[float], for_s: float) -> None:
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        status, took_s = await asking.ask()
        if status != 200:
            raise RuntimeError(f"the neighbour is answered with {status}")
        into.append(took_s)
        await asyncio.sleep(max(0.0, PROBE_EVERY_S - took_s))


async def _deliver(device: EdgeSide, into: list[float], for_s: float) -> None:
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        began_s = time.perf_counter()
        await device.accept([1.0, 2.0])
        await device.delivered()
        into.append(took_s := time.perf_counter() - began_s)
        await asyncio.sleep(max(0.0, PROBE_EVERY_S - took_s))


async def _devices(made: Installation, prefix: str, count: int, tenant: str) -> list[Credentials]:
    """Devices that the installation knows."""
    found = [made.credentials.device(f"{prefix}-{number}") for number in range(count)]
    async with open_pool(made.conninfo, max_size=1) as pool:
        for who in found:
            await record(pool, who)
    with made.database() as connection:
        moved = "UPDATE device SET tenant_id = (SELECT id FROM tenant WHERE name = %s) WHERE name LIKE %s"
        connection.execute(moved.encode(), [tenant, f"{prefix}-%"])
    return found


def _target(made: Installation, tenant: str, who: Credentials, source: str) -> Target:
    key = made.command("api-key", "create", "bench", "--tenant", tenant)
    return Target(made.api_port, str(made.home.ca_file), source, key, f"/api/v1/devices/{who.name}/latest")


@asynccontextmanager
async def _neighbour(made: Installation, who: Credentials, asking: Asking) -> AsyncIterator[EdgeSide]:
    await asking.open()
    broker = Broker(made.folder, made.credentials)
    broker.port = made.broker_port
    async with edge_side(made.folder / "neighbour.db", broker, who) as device:
        yield device


@contextmanager
def _noise(file: Path, loud: Loud) -> Iterator["subprocess.Popen[str]"]:
    file.write_bytes(pickle.dumps(loud))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.loud", str(file)],
        cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the loud tenant could not begin")
        yield process
    finally:
        process.kill()
        process.wait()
