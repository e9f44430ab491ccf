"""The web service on a port of its own, as browsers and programs meet it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from wayside_server.app.connections import BoundedServer, bounded, config_of
from wayside_server.config import ApiSettings

START_TIMEOUT_S = 10.0


@asynccontextmanager
async def serve(app: FastAPI, settings: ApiSettings | None = None) -> AsyncIterator[str]:
    """The base URL of `app`, served on 127.0.0.1 without TLS while the context is open."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = config_of(app, lifespan="on", timeout_graceful_shutdown=1)
        server = BoundedServer(config, bounded(settings or ApiSettings()))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.serve(sockets=[listening]))
            async with asyncio.timeout(START_TIMEOUT_S):
                # uvicorn tells of its start by a flag only.
                while not server.started and not running.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    id: str
    name: str
    data: str


async def read_events(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a streamed response; comments and hints are passed over."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        key, separator, value = line.partition(": ")
        if line == "":
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", ""), fields["data"])
            fields = {}
        elif separator and key:
            fields[key] = value
