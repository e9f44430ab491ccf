"""An agent of the laboratory: the real outbox, uplink and transport, with a source that keeps the oracle's sets.

`python -m faults.agent PLAN`, PLAN as JSON. A file named `stop` beside the ledgers ends the source; the process then
delivers what is left and ends with 0.
"""

import asyncio
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from random import SystemRandom

from faults.ledger import Batch, Ledger
from faults.points import Trap, TrappedOutbox, TrappedTransport
from wayside_edge.errors import OutboxError
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch
from wayside_edge.uplink.mqtt import MqttTransport
from wayside_edge.uplink.session import Uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.batch import Column, encode_body
from wayside_shared.clock import ClockMap, ClockState

log = logging.getLogger(__name__)

STOP = "stop"
NUMBERS, TEXTS = 8, 2
"""Samples of a batch that are numbers and texts: they go to two tables, and only together make the batch whole."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one agent is to do. `number` sets its values apart; `port` 0 means that it delivers nothing."""

    device: str
    number: int
    outbox: str
    ledger: str
    pause_s: float
    port: int = 0
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    point: str = ""
    passes: int = 1

    def text(self) -> str:
        """As the command line takes it."""
        return json.dumps(asdict(self))


async def measure(plan: Plan, store: DurableOutbox, uplink: Uplink) -> None:
    """Append batches of values never seen before until told to stop."""
    stop = Path(plan.ledger) / STOP
    clock = SystemClock(ClockSettings(trust_system=True))
    ledger = Ledger(Path(plan.ledger), plan.device)
    first = ledger.next_value(plan.number)
    while not stop.exists():
        batch = Batch(first, NUMBERS + TEXTS)
        first += batch.count
        closed = close(batch, clock)
        ledger.attempt(batch)
        try:
            appended = await store.append(closed)
        except OutboxError as error:
            log.error("%s", error)
        else:
            ledger.accept(Batch(batch.first, batch.count, appended.added[-1]))
            uplink.accepted(appended)
        await asyncio.sleep(plan.pause_s)


def close(batch: Batch, clock: SystemClock) -> ClosedBatch:
    """`batch` as the outbox takes it, its samples a microsecond apart."""
    now_ns = clock.boottime_ns()
    times = [now_ns + i * 1_000 for i in range(batch.count)]
    values = list(batch.values)
    body = encode_body(
        [
            Column("number", "1", times[:NUMBERS], [float(value) for value in values[:NUMBERS]]),
            Column("text", "1", times[NUMBERS:], [str(value) for value in values[NUMBERS:]]),
        ]
    )
    return ClosedBatch(batch.count, body, clock.boot_id(), ClockMap(now_ns, clock.wall_ns(), ClockState.SYNCED))


async def run(plan: Plan) -> None:
    """One agent, from start to stop."""
    clock = SystemClock(ClockSettings(trust_system=True))
    trap = Trap(plan.point, plan.passes)
    store = TrappedOutbox(trap, OutboxSettings(path=Path(plan.outbox), free_disk_floor_mb=0), clock)
    settings = UplinkSettings(
        host="127.0.0.1",
        port=plan.port,
        device=plan.device,
        ca_file=Path(plan.ca_file),
        cert_file=Path(plan.cert_file),
        key_file=Path(plan.key_file),
    )
    status = await store.open()
    transport = TrappedTransport(trap, MqttTransport(settings))
    uplink = Uplink(settings, transport, store, status.pending, clock, "fault laboratory", SystemRandom())
    async with asyncio.TaskGroup() as tasks:
        delivering = tasks.create_task(uplink.run())
        await measure(plan, store, uplink)
        await uplink.drained()
        delivering.cancel()
    left = (await store.status()).pending
    await store.close()
    if left:
        raise SystemExit(f"{len(left)} batches are pending after the uplink said that it has drained")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(run(Plan(**json.loads(sys.argv[1]))))
