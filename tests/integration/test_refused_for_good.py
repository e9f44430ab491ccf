"""A server that takes no samples of a device: whoever stands at the board sees it, and its log is not full of it."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from wayside_edge.commands.status import table
from wayside_edge.uplink.refusals import AGAIN_S, Refusals
from wayside_server.domain.tenants import Quota
from wayside_server.storage.database import Pool
from wayside_server.storage.tenants import PostgresTenants
from wayside_shared.clock import NS_PER_S
from wayside_shared.rejects import RejectCode
from wayside_shared.session import Reject
from wayside_testkit.agent import TRUSTED, agent_config, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side
from wayside_testkit.telemetry import add_device, add_tenant

FULL = "the tenant of the device has stored as many samples as it may"


async def told(config: Path) -> Any:
    command = (sys.executable, "-m", "wayside_edge", "status", "--json", "--config", str(config))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return json.loads(out)


async def _full_tenant(pool: Pool) -> None:
    tenant = await add_tenant(pool, "birch")
    await add_device(pool, "boiler-7", tenant)
    await PostgresTenants(pool).limit(tenant, Quota(samples=0))


async def test_refused_samples_are_counted_and_said_once(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    await _full_tenant(pool)
    who = credentials.device("boiler-7")
    async with server_side(broker, credentials.service(), pool), edge_side(tmp_path / "outbox.db", broker, who) as edge:
        for _ in range(5):
            await edge.accept([1.0, 2.0, 3.0])
            await edge.delivered()
        state = edge.uplink.state
    assert (state.delivered, state.refused, state.refused_samples) == (0, 5, 15)
    assert state.refusal.startswith(f"{FULL}: tenant birch may store 0 samples")
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert errors == [f"the server refuses samples for good: {state.refusal}; wayside-edge status counts them"]


async def test_status_says_so(tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool) -> None:
    await _full_tenant(pool)
    more = TRUSTED + outbox_table(tmp_path / "outbox.db")
    config = agent_config(tmp_path, broker.port, credentials.device("boiler-7"), more=more)
    async with server_side(broker, credentials.service(), pool), agent_process(config) as agent:
        await agent.says("the server refuses samples for good")
        async with asyncio.timeout(30):
            while not (status := await told(config))["link"]["refused_samples"]:
                pass
    count = status["link"]["refused_samples"]
    lines = list(table(status))
    told_of = f"REFUSED    {count:,} samples by the server, for good; the latest: {FULL}"
    assert [line for line in lines if line.startswith(told_of)]


def test_a_cause_that_lasts_is_a_line_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for minute in range(2 * 60):
        refusals.note([Reject(minute, RejectCode.TENANT_FULL, f"{minute} samples")], int(minute * 60 * NS_PER_S))
    refusals.note([Reject(999, RejectCode.BAD_UNIT, "")], int(AGAIN_S))
    assert [each.getMessage() for each in caplog.records] == [
        f"the server refuses samples for good: {FULL}: 0 samples; wayside-edge status counts them",
        f"the server refused 60 more batches: {FULL}: 60 samples",
        f"the server refuses samples for good: {RejectCode.BAD_UNIT.meaning}; wayside-edge status counts them",
    ]
