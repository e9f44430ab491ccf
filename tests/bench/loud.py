"""A tenant that is loud when told: `python -m bench.loud FILE`, with a `Loud` in FILE.

Says `ready` once connected. Each line that it reads then is how many requests and how many messages a second it makes
from there on; at the end of its input it ends, and says how its requests were answered.
"""

import asyncio
import json
import pickle
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.publisher import Load, connected
from wayside_shared.batch import CONTENT_TYPE

CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask for.

    Args:
        port: of the API.
        ca_file: whom to trust.
        source: the network address to ask from.
        key: an API key.
        path: of a route.
    """

    port: int
    ca_file: str
    source: str
    key: str
    path: str


@dataclass(frozen=True, slots=True)
class Loud:
    """What it makes its noise with."""

    target: Target
    broker_port: int
    loads: list[Load]


class Asking:
    """One connection that asks for the same again and again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._request = (
            f"GET {target.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {target.key}\r\n\r\n"
        ).encode()

    async def open(self) -> None:
        """Connects."""
        context = ssl.create_default_context(cafile=self._target.ca_file)
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._target.port, ssl=context, local_addr=(self._target.source, 0)
        )

    async def ask(self) -> tuple[int, float]:
        """Status of the answer, and seconds until its last byte."""
        began_s = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        await self._reader.readexactly(length)
        return int(head.split(b" ", 2)[1]), time.perf_counter() - began_s


class _Pace:
    """Does something so many times a second."""

    def __init__(self) -> None:
        self.per_s = 0.0

    async def keep(self, act: Callable[[], None]) -> None:
        """Until cancelled; what falls due together is done together."""
        due = 0.0
        before_s = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now_s = time.monotonic()
            due += self.per_s * (now_s - before_s)
            before_s = now_s
            while due >= 1.0:
                act()
                due -= 1.0


async def run(loud: Loud) -> Counter[int]:
    """Make noise until the input ends; answers by status."""
    answers: Counter[int] = Counter()
    waiting: asyncio.Queue[None] = asyncio.Queue(CONNECTIONS)
    asking = [Asking(loud.target) for _ in range(CONNECTIONS)]
    for one in asking:
        await one.open()

    async def ask(one: Asking) -> None:
        while True:
            await waiting.get()
            answers[(await one.ask())[0]] += 1

    clients = [connected(loud.broker_port, load) for load in loud.loads]
    requests, messages = _Pace(), _Pace()
    print("ready", flush=True)
    tasks = [
        *(asyncio.create_task(ask(one)) for one in asking),
        asyncio.create_task(requests.keep(lambda: None if waiting.full() else waiting.put_nowait(None))),
        asyncio.create_task(messages.keep(_publishing(clients, loud.loads))),
    ]
    while line := await asyncio.to_thread(sys.stdin.readline):
        requests.per_s, messages.per_s = map(float, line.split())
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        client.disconnect()
        client.loop_stop()
    return answers


def _publishing(clients: list[mqtt.Client], loads: list[Load]) -> Callable[[], None]:
    """Publishes the next message, of each device in turn."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = CONTENT_TYPE
    turns = (
        (client, load.topic, message)
        for place in range(len(loads[0].messages))
        for client, load in zip(clients, loads, strict=True)
        for message in [load.messages[place]]
    )

    def publish() -> None:
        client, topic, message = next(turns)
        client.publish(topic, message, 1, properties=properties)

    return publish


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(pickle.loads(Path(sys.argv[1]).read_bytes())))))
