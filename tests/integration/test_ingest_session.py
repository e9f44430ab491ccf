"""Ingest's session with a real broker: what it is handed, and when it is handed more."""

import asyncio
from pathlib import Path

import aiomqtt
import paho.mqtt.client as mqtt

from wayside_server.ingest.mqtt import RECEIVE_MAXIMUM, BrokerAddress, BrokerSession, Received
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory

MORE = 12
DEADLINE_S = 20.0


def client(broker: Broker, who: Credentials) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
        max_inflight_messages=100,
    )


async def test_the_broker_hands_over_no_more_than_is_acknowledged(
    broker: Broker, credentials: CredentialsFactory
) -> None:
    who = credentials.service()
    taken: list[Received] = []
    came = asyncio.Event()

    def take() -> None:
        taken.extend(session.take())
        came.set()

    async def until(count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(taken) < count:
                came.clear()
                await came.wait()

    address = BrokerAddress(broker.host, broker.port, who.name, who.ca_file, who.cert_file, who.key_file)
    session = BrokerSession(address, take, lambda _: None)
    await session.open()
    async with client(broker, credentials.device("boiler-7")) as device:
        async with asyncio.timeout(DEADLINE_S):
            # The broker confirms each of these itself, so all are in its hands when this is done.
            for number in range(RECEIVE_MAXIMUM + MORE):
                await device.publish("wayside/1/boiler-7/up", str(number).encode(), qos=1)
        await until(RECEIVE_MAXIMUM)
        assert len(taken) == RECEIVE_MAXIMUM, "without an acknowledgement nothing more may come"
        for received in taken[:MORE]:
            session.acknowledge(received.packet_id)
        await until(RECEIVE_MAXIMUM + MORE)
    await session.close()
    assert [int(received.raw.payload) for received in taken] == list(range(RECEIVE_MAXIMUM + MORE))


async def test_nothing_travels_above_qos_1(tmp_path: Path, broker: Broker, credentials: CredentialsFactory) -> None:
    who = credentials.device("boiler-7")
    granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=who.name, protocol=mqtt.MQTTv5)
    paho.tls_set_context(who.client_context())
    paho.on_connect = lambda _client, _data, _flags, _reason, properties: loop.call_soon_threadsafe(
        granted.set_result, getattr(properties, "MaximumQoS", 2)
    )
    paho.connect(broker.host, broker.port)
    paho.loop_start()
    async with asyncio.timeout(DEADLINE_S):
        assert await granted == 1
    paho.disconnect()
    paho.loop_stop()
