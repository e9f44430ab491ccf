"""A fleet comes back after its broker was restarted: every device by the pauses that the agent makes.

All devices live in this process, each with a certificate of its own, over TLS 1.3 to a real broker; they speak just
enough MQTT to hold a session.
"""

import asyncio
import os
import resource
import signal
import ssl
import time
from collections.abc import Iterator
from random import Random

from bench.figures import Figure, Size, progress, within
from bench.server_side import Installation, installed
from wayside_edge.uplink.pauses import pause_s
from wayside_edge.uplink.settings import UplinkSettings

DEVICES = 2_000
LONGEST_PAUSE_S = UplinkSettings(host="", device="any").reconnect_s
DOWN_S = 60
"""Long enough that the devices' pauses have grown to the longest."""
DEADLINE_S = 300.0
CONNACK = 0x20


def measure(group: str, size: Size) -> Iterator[Figure]:
    """How long it takes until the last one has its session again."""
    count = size.of(DEVICES, 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count + 1_000)), hard))
    with installed() as made:
        contexts = []
        for number in range(count):
            contexts.append(made.credentials.device(f"storm-{number}").client_context())
            progress(f"{number + 1:,} of {count:,} certificates") if (number + 1) % 500 == 0 else None
        times, attempts = asyncio.run(_storm(made, contexts, size.of(DOWN_S, 1)))
    times.sort()
    half, most = times[count // 2], times[int(count * 0.99)]
    how = (
        f"{count:,} devices with TLS 1.3 in one process, after a broker that was away for {size.of(DOWN_S, 1)} s; half"
        f" were back after {half:.1f} s, 99 of 100 after {most:.1f} s; {attempts / count:.1f} attempts each"
    )
    yield within(group, "storm_2000_s", times[-1], "s", how)


async def _storm(made: Installation, contexts: list[ssl.SSLContext], down_s: int) -> tuple[list[float], int]:
    """Seconds from the restart of the broker until each device had its session again, and all attempts."""
    fleet = Fleet(made.broker_port, len(contexts))
    async with asyncio.TaskGroup() as tasks:
        with made.broker() as pid:
            devices = [
                tasks.create_task(fleet.device(number, context, Random(number)))
                for number, context in enumerate(contexts)
            ]
            await fleet.all_there()
            progress(f"{len(contexts):,} devices are connected")
            os.kill(pid, signal.SIGKILL)
        fleet.begin_anew()
        await asyncio.sleep(down_s)
        with made.broker():
            began_s = time.monotonic()
            await fleet.all_there()
            for task in devices:
                task.cancel()
    return [at_s - began_s for at_s in fleet.since_s.values()], fleet.attempts


class Fleet:
    """Devices and who of them has a session.

    Args:
        port: the broker's.
        count: of devices.
    """

    def __init__(self, port: int, count: int) -> None:
        self.since_s: dict[int, float] = {}
        """When each got the session that it has."""
        self.attempts = 0
        self._port = port
        self._count = count
        self._whole = asyncio.Event()

    def begin_anew(self) -> None:
        """Nobody has a session any more."""
        self.since_s.clear()
        self.attempts = 0
        self._whole.clear()

    async def all_there(self) -> None:
        """Returns once every device has a session."""
        async with asyncio.timeout(DEADLINE_S):
            await self._whole.wait()

    async def device(self, number: int, context: ssl.SSLContext, random: Random) -> None:
        """Holds a session for ever, as the agent does."""
        failures = 0
        while True:
            self.attempts += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
            except OSError:
                failures += 1
            else:
                try:
                    await self._session(number, reader, writer)
                finally:
                    writer.transport.abort()
                failures += 1
            await asyncio.sleep(pause_s(failures, LONGEST_PAUSE_S, random))

    async def _session(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = f"storm-{number}".encode()
        # MQTT 5, clean start, keep-alive of 600 s, no properties (section 3.1).
        body = b"\0\4MQTT\5\2" + (600).to_bytes(2) + b"\0" + len(name).to_bytes(2) + name
        writer.write(bytes([0x10, len(body)]) + body)
        try:
            head = await reader.readexactly(4)
            if head[0] != CONNACK or head[3] != 0:
                raise RuntimeError(f"the broker refuses {name.decode()}: {head.hex()}")
            self.since_s[number] = time.monotonic()
            if len(self.since_s) == self._count:
                self._whole.set()
            while await reader.read(4096):
                pass
        except (OSError, asyncio.IncompleteReadError):
            return  # the broker has gone
