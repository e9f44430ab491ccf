"""Who is refused by the broker is told why in one line, and operators see it counted."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from wayside_edge.errors import TransientError
from wayside_edge.uplink.mqtt import MqttTransport
from wayside_edge.uplink.settings import UplinkSettings
from wayside_server.domain.watching import FLAPPING_SESSION
from wayside_server.storage.database import Pool
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side

pytest_plugins = ["wayside_testkit.postgres", "wayside_testkit.broker", "wayside_testkit.credentials"]


EVERY = "SELECT kind, count FROM refusal UNION ALL SELECT kind, count FROM tenant_refusal"
"""Those of nobody, and those of devices that the database knows."""


async def refusals(pool: Pool, *kinds: str) -> dict[str, int]:
    """The counts of `kinds`, once each of them is there."""
    async with asyncio.timeout(20):
        while True:
            async with pool.connection() as connection:
                found = dict(await (await connection.execute(EVERY)).fetchall())  # type: ignore[arg-type, var-annotated]
            if found.keys() >= set(kinds):
                return found
            await asyncio.sleep(0.1)


def transport(
    broker: Broker, who: Credentials, ca_file: Path | None = None, device: str | None = None
) -> MqttTransport:
    settings = UplinkSettings(
        host=broker.host,
        port=broker.port,
        device=device or who.name,
        ca_file=ca_file or who.ca_file,
        cert_file=who.cert_file,
        key_file=who.key_file,
    )
    return MqttTransport(settings)


async def test_a_certificate_of_another_authority_is_refused_told_and_counted(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    (tmp_path / "foreign").mkdir()
    stranger = CredentialsFactory(tmp_path / "foreign").device("boiler-7")
    friend = credentials.device("boiler-8")
    async with server_side(broker, credentials.service(), pool), edge_side(tmp_path / "o.db", broker, friend) as edge:
        await edge.accept([1.0])
        await edge.delivered()
        with pytest.raises(TransientError, match="expired, revoked or from another CA"):
            await transport(broker, stranger, credentials.ca_file).connect()
        assert (await refusals(pool, "broker: untrusted certificate"))["broker: untrusted certificate"] == 1


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_that_our_authority_did_not_sign_is_not_trusted(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory
) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = CredentialsFactory(tmp_path / "foreign")
    with pytest.raises(TransientError, match="its certificate is not signed by"):
        await transport(broker, credentials.device("boiler-7"), foreign.ca_file).connect()


async def test_a_name_that_is_connected_twice_is_told_and_counted(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    who = credentials.device("boiler-7")
    caplog.set_level(logging.WARNING)
    async with server_side(broker, credentials.service(), pool), edge_side(tmp_path / "outbox.db", broker, who) as edge:
        await edge.accept([1.0])
        await edge.delivered()
        twin = await transport(broker, who).connect()
        try:
            await refusals(pool, "broker: name connected twice")
        finally:
            await twin.close()
        assert "uplink lost" in caplog.text
        await edge.accept([2.0])
        await edge.delivered()


async def test_a_name_that_changes_hands_again_and_again_is_an_incident(
    broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who = credentials.device("boiler-7")
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO device (name) VALUES ('boiler-7')")
    async with server_side(broker, credentials.service(), pool), AsyncExitStack() as open_until_then:
        async with asyncio.timeout(20):
            # The first ones may come before ingest listens to the broker's log.
            while True:
                link = await transport(broker, who).connect()
                open_until_then.push_async_callback(link.close)
                async with pool.connection() as connection:
                    row = await (await connection.execute("SELECT kind, detail FROM incident")).fetchone()
                if row is not None:
                    break
                await asyncio.sleep(0.1)
    assert row[0] == FLAPPING_SESSION
    assert "from 127.0.0.1" in str(row[1])


async def test_topics_of_another_device_are_not_given_and_counted(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    who, other = credentials.device("boiler-7"), credentials.device("boiler-8")
    async with (
        server_side(broker, credentials.service(), pool),
        edge_side(tmp_path / "outbox.db", broker, other) as edge,
    ):
        await edge.accept([1.0])
        await edge.delivered()
        # An agent that was given the certificate of another board, or its configuration.
        mistaken = await transport(broker, who, device="boiler-8").connect()
        try:
            found = await refusals(pool, "broker: foreign topic")
        finally:
            await mistaken.close()
        await edge.accept([2.0])
        await edge.delivered()
    assert found == {"broker: foreign topic": 2}
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT last_detail FROM refusal")).fetchone()
    assert row == ("boiler-7 1 wayside/1/boiler-8/hello/server",)
