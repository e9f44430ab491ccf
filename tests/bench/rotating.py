"""Devices that deliver and renew their certificates: `python -m bench.rotating FILE`, with a `Fleet` in FILE.

Says `ready` when all are connected, waits for a line, lets them work, says `rotated` when each has a session with
its new certificate that stands, waits for a line, and then says what each did.
"""

import asyncio
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wayside_edge.identity.store import Files
from wayside_edge.identity.worker import answer, describe
from wayside_shared.clock import NS_PER_S
from wayside_shared.renewal import Life, renew_at_s
from wayside_testkit.clock import LiveClock
from wayside_testkit.renewing import Places, RenewingDevice, renewing

EVERY_S = 4.0
SAMPLES = 20
"""In the batch that a device accepts so often."""
LOOK_S = 0.5
STOOD_S = 5.0
LONGEST_PAUSE_S = 45.0
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some devices.

    Args:
        folders: of each device by its name: its identity, and room for its outbox.
        due_s: when each one's renewal falls due, in seconds after the beginning.
        broker_port: on this host.
        server: where to renew.
    """

    folders: Mapping[str, Path]
    due_s: Mapping[str, float]
    broker_port: int
    server: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a device did."""

    accepted: int
    serial: str
    sessions: int
    trouble: str


class _RenewalClock(LiveClock):
    """What a device's keeper takes for the time: it stands still until it begins, so that the renewal falls due then.

    Args:
        starts_s: the time until then, UTC seconds.
    """

    def __init__(self, starts_s: float) -> None:
        self._starts_ns = int(starts_s * NS_PER_S)
        self._began_ns: int | None = None

    def begin(self) -> None:
        """Time passes from now on."""
        self._began_ns = self.boottime_ns()

    def wall_ns(self) -> int:
        passed_ns = 0 if self._began_ns is None else self.boottime_ns() - self._began_ns
        return self._starts_ns + passed_ns


class _Running:
    """One device at work."""

    def __init__(self, name: str, device: RenewingDevice, clock: _RenewalClock) -> None:
        self.name = name
        self.device = device
        self.clock = clock
        self.accepted = 0
        self._first = device.serial()

    @property
    def rotated(self) -> bool:
        """Whether the new certificate has proved good."""
        return self.device.serial() != self._first and not self.device.keeps_old

    async def work(self, head_start_s: float, stop: asyncio.Event) -> None:
        """Accept a batch every EVERY_S until told to stop, and deliver what is left. No value comes twice."""
        self.clock.begin()
        await asyncio.sleep(head_start_s)
        while not stop.is_set():
            await self.device.accept([float(self.accepted + i) for i in range(SAMPLES)])
            self.accepted += SAMPLES
            await asyncio.sleep(EVERY_S)
        await self.device.uplink.drained()

    def done(self) -> Done:
        """What it did."""
        device = self.device
        return Done(self.accepted, f"{device.serial():x}", device.uplink.state.sessions, device.trouble)


async def _ask(question: Mapping[str, Any], _limit_s: float) -> Mapping[str, Any]:
    """The worker's own code, without a process for each of so many boards."""
    return await asyncio.to_thread(answer, dict(question))


async def run(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Live through it; what each device did by its name."""
    async with AsyncExitStack() as stack:
        running = [await _start(stack, fleet, name) for name in fleet.folders]
        await _until(running, lambda one: one.device.uplink.connected)
        await _said("ready")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for place, one in enumerate(running):
                tasks.create_task(one.work(EVERY_S * place / len(running), stop))
            await _until(running, lambda one: one.rotated)
            await _said("rotated")
            stop.set()
        return {one.name: asdict(one.done()) for one in running}


async def _start(stack: AsyncExitStack, fleet: Fleet, name: str) -> _Running:
    folder = fleet.folders[name]
    files = Files(folder / "ca.pem", folder / "device.pem", folder / "device.key")
    life = Life(**describe(files.cert_file)["life"])
    clock = _RenewalClock(renew_at_s(name, life) - fleet.due_s[name])
    places = Places(
        *("127.0.0.1", fleet.broker_port, fleet.server, folder / "outbox.db", LONGEST_PAUSE_S, LOOK_S, STOOD_S)
    )
    device = renewing(name, files, places, renewal_clock=clock, ask=_ask, seed=life.serial)
    return _Running(name, await stack.enter_async_context(device), clock)


async def _until(running: Sequence[_Running], reached: Callable[[_Running], bool]) -> None:
    """Returns once all have `reached` it.

    Raises:
        RuntimeError: that takes too long; it says how some that have not are.
    """
    ends_s = time.monotonic() + PATIENCE_S
    while late := [one for one in running if not reached(one)]:
        if time.monotonic() > ends_s:
            some = "; ".join(
                f"{one.name}: {one.device.identity.status()}, {one.device.uplink.state}" for one in late[:3]
            )
            raise RuntimeError(f"{len(late)} of {len(running)} devices are late: {some}")
        await asyncio.sleep(0.5)


async def _said(word: str) -> None:
    """Says `word`, and waits for the answer."""
    print(word, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.with_suffix(".done").write_bytes(pickle.dumps(asyncio.run(run(pickle.loads(path.read_bytes())))))
