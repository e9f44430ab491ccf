"""Hostile messages and dying servers on the real way of a sample: what is good arrives, and only that."""

import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import cbor2
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from wayside_server.storage.database import Pool, open_pool
from wayside_server.storage.embedded import EmbeddedPostgres
from wayside_server.storage.schema import migrate
from wayside_shared.batch import CONTENT_TYPE
from wayside_shared.plain import JSON_TYPE, SENML_CBOR_TYPE
from wayside_testkit.batches import Device, column
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.delivery import edge_side, server_side
from wayside_testkit.postgres import kill_postgres

GOOD = Device("hostile", b"epoch-of-hostile").message(column("t", [1.0, 2.0, 3.0]))
FOREIGN = Device("boiler-7", b"epoch-of-boiler7").message(column("t", [666.0]))

HOSTILE = [
    ("random bytes", CONTENT_TYPE, bytes(range(256))),
    ("nothing", CONTENT_TYPE, b""),
    ("cut off", CONTENT_TYPE, GOOD[: len(GOOD) // 2]),
    ("a flipped bit", CONTENT_TYPE, GOOD[:5] + bytes([GOOD[5] ^ 0x20]) + GOOD[6:]),
    ("another device inside", CONTENT_TYPE, FOREIGN),
    ("a bomb", CONTENT_TYPE, zlib.compress(bytes(50_000_000), 9)),
    ("nested CBOR", CONTENT_TYPE, b"\x81" * 50_000),
    ("a tag that runs", CONTENT_TYPE, cbor2.dumps(cbor2.CBORTag(35, "(a+)+$"))),
    ("nested JSON", JSON_TYPE, b"[" * 50_000),
    ("not a number", JSON_TYPE, b'{"values": {"t": NaN}}'),
    ("beyond every number", JSON_TYPE, b'{"values": {"t": 1e999}}'),
    ("five thousand digits", JSON_TYPE, b'{"values": {"t": ' + b"9" * 5000 + b"}}"),
    ("half a character", JSON_TYPE, b'{"values": {"t": "\\ud800"}}'),
    ("a zero in a text", JSON_TYPE, b'{"values": {"t": "a\\u0000b"}}'),
    ("the year 300,000", JSON_TYPE, b'{"ts": 9999999999999999, "values": {"t": 1}}'),
    ("broken SenML", SENML_CBOR_TYPE, b"\x9f\x9f\x9f"),
    ("an unknown type", "application/x-evil", b"?"),
    ("no type", None, b"?"),
]


async def publish(client: aiomqtt.Client, content_type: str | None, payload: bytes) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if content_type is not None:
        properties.ContentType = content_type
    await client.publish("wayside/1/hostile/up", payload, qos=1, properties=properties)


def client(broker: Broker, who: Credentials) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
    )


async def test_hostile_messages_are_set_aside_and_good_ones_beside_them_stored(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, pool: Pool
) -> None:
    device = credentials.device("boiler-7")
    async with (
        server_side(broker, credentials.service(), pool),
        edge_side(tmp_path / "outbox.db", broker, device) as edge,
        client(broker, credentials.device("hostile")) as hostile,
    ):
        await publish(hostile, CONTENT_TYPE, GOOD)
        for number, (_, content_type, payload) in enumerate(HOSTILE):
            await publish(hostile, content_type, payload)
            await edge.accept([float(number)])
        reused = Device("hostile", b"epoch-of-hostile").message(column("t", [7.0]))
        await publish(hostile, CONTENT_TYPE, reused)
        await publish(hostile, CONTENT_TYPE, GOOD)
        await edge.delivered()
        await edge.accept([-1.0])
        await edge.delivered()
    async with pool.connection() as connection:
        letters = await (
            await connection.execute("SELECT raw, code, detail, content_type FROM dead_letter WHERE device = 'hostile'")
        ).fetchall()
        rows = await (
            await connection.execute(
                "SELECT d.name, value FROM sample JOIN series s ON s.id = series_id"
                " JOIN device d ON d.id = s.device_id ORDER BY 1, 2"
            )
        ).fetchall()
        (others,) = await (await connection.execute("SELECT count(*) FROM sample_value")).fetchone() or (None,)
    buried = {(bytes(raw), content_type) for raw, _, _, content_type in letters}  # type: ignore[misc]
    missing = [what for what, content_type, payload in HOSTILE if (payload, content_type) not in buried]
    assert not missing, "these are neither stored nor set aside"
    assert len(letters) == len(HOSTILE) + 1, "and the reused number"
    assert all(code and detail for _, code, detail, _ in letters)  # type: ignore[misc]
    own = [("boiler-7", float(value)) for value in range(-1, len(HOSTILE))]
    assert rows == [*own, ("hostile", 1.0), ("hostile", 2.0), ("hostile", 3.0)]
    assert others == 0


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that the test may kill; its folder's path is short for the socket."""
    folder = Path(tempfile.mkdtemp(prefix="wayside-pg-"))
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


async def test_a_database_killed_under_ingest_costs_nothing(
    tmp_path: Path, broker: Broker, credentials: CredentialsFactory, own_postgres: EmbeddedPostgres
) -> None:
    await migrate(own_postgres.conninfo)
    async with (
        open_pool(own_postgres.conninfo, max_size=2) as pool,
        server_side(broker, credentials.service(), pool),
        edge_side(tmp_path / "outbox.db", broker, credentials.device("boiler-7")) as edge,
    ):
        for number in range(10):
            await edge.accept([float(number)])
        kill_postgres(own_postgres)
        for number in range(10, 20):
            await edge.accept([float(number)])
        own_postgres.start()
        await edge.delivered()
        async with pool.connection() as connection:
            rows = await (await connection.execute("SELECT value FROM sample ORDER BY value")).fetchall()
    assert [row[0] for row in rows] == [float(number) for number in range(20)]  # type: ignore[index]
