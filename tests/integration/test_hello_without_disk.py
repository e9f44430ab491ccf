"""An outbox that fails while the uplink says hello ends neither the session nor the agent."""

import asyncio
import logging
from pathlib import Path

import pytest

from wayside_edge.errors import OutboxError
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Loaded
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import edge_side

pytest_plugins = ["wayside_testkit.broker", "wayside_testkit.credentials"]


async def test_a_disk_that_fails_during_hello_is_said_once_and_survived(
    tmp_path: Path,
    broker: Broker,
    credentials: CredentialsFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load, tried, well = DurableOutbox.load, asyncio.Queue[None](), asyncio.Event()

    async def failing(self: DurableOutbox, seqs: list[int]) -> Loaded:
        tried.put_nowait(None)
        if not well.is_set():
            raise OutboxError("the file system is read-only; remount it")
        return await load(self, seqs)

    monkeypatch.setattr(DurableOutbox, "load", failing)
    with caplog.at_level(logging.INFO):
        async with edge_side(tmp_path / "outbox.db", broker, credentials.device("boiler-7")), asyncio.timeout(40):
            for _ in range(2):
                await tried.get()
            well.set()
            while "the outbox delivers again" not in caplog.text:
                await tried.get()
                await asyncio.sleep(0.1)
    assert caplog.text.count("nothing is delivered: the file system is read-only") == 1
