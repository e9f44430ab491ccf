"""Reliability row 5: every device on every topic of every other, by what is delivered: a broker's answer says nothing.

One device of each of three tenants. What each may do follows from `Channel`; everything else must reach nobody.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiomqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from wayside_shared.topics import Channel, every_device, topic
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import Credentials, CredentialsFactory

DEVICES = ("acme-boiler", "bolt-boiler", "corp-boiler")
FROM_DEVICE = [channel for channel in Channel if channel.from_device]
TO_DEVICE = [channel for channel in Channel if not channel.from_device]
EVERY_TOPIC = [topic(device, channel) for device in DEVICES for channel in Channel]
STRANGE_TOPICS = [
    "$SYS/broker/version",
    "free",
    *(f"wayside/2/{device}/up" for device in DEVICES),
    *(f"wayside/1/{device}/up/more" for device in DEVICES),
    *(f"wayside/1/{device}" for device in DEVICES),
]
MARK = b"mark"
DEADLINE_S = 20.0


@asynccontextmanager
async def connected(
    broker: Broker, who: Credentials, will: aiomqtt.Will | None = None
) -> AsyncIterator[aiomqtt.Client]:
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=who.name,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
        will=will,
        timeout=DEADLINE_S,
        max_queued_outgoing_messages=0,
    )
    async with client:
        yield client


async def until_mark(client: aiomqtt.Client) -> list[tuple[str, bytes]]:
    """Topic and payload of what `client` is given before the mark."""
    seen = []
    async with asyncio.timeout(DEADLINE_S):
        async for message in client.messages:
            if bytes(message.payload) == MARK:
                break
            seen.append((message.topic.value, bytes(message.payload)))
    return seen


async def watch(client: aiomqtt.Client, topics: Iterable[str]) -> None:
    await client.subscribe([(one, SubscribeOptions(qos=1)) for one in topics])


class Installation:
    """The service's session and one of each device, connected."""

    def __init__(self, service: aiomqtt.Client, devices: dict[str, aiomqtt.Client]) -> None:
        self.service = service
        self.devices = devices

    async def watch(self) -> None:
        """Everybody subscribes to what is theirs."""
        await watch(self.service, map(every_device, FROM_DEVICE))
        for device, client in self.devices.items():
            await watch(client, (topic(device, channel) for channel in TO_DEVICE))

    async def delivered(self) -> set[tuple[str, bytes]]:
        """What has reached anybody since they subscribed."""
        first = DEVICES[0]
        await self.devices[first].publish(topic(first, Channel.UP), MARK, qos=1)
        seen = await until_mark(self.service)
        for device, client in self.devices.items():
            await self.service.publish(topic(device, Channel.ACK), MARK, qos=1)
            seen += await until_mark(client)
        return set(seen)


@asynccontextmanager
async def everybody(broker: Broker, credentials: CredentialsFactory) -> AsyncIterator[Installation]:
    async with AsyncExitStack() as opened:
        service = await opened.enter_async_context(connected(broker, credentials.service(1)))
        devices = {
            name: await opened.enter_async_context(connected(broker, credentials.device(name))) for name in DEVICES
        }
        yield Installation(service, devices)


def own(kind: str) -> set[tuple[str, bytes]]:
    """What may arrive when every device sends to every topic a payload that names it."""
    return {(topic(device, channel), f"{kind} of {device}".encode()) for device in DEVICES for channel in FROM_DEVICE}


async def test_row_5_publications_reach_somebody_on_ones_own_topics_alone(
    broker: Broker, credentials: CredentialsFactory
) -> None:
    async with everybody(broker, credentials) as all_of_them:
        await all_of_them.watch()
        for kind, retain in (("plain", False), ("retained", True)):
            for device, client in all_of_them.devices.items():
                await publish_everywhere(client, f"{kind} of {device}".encode(), retain=retain)
        assert await all_of_them.delivered() == own("plain") | own("retained")
    async with everybody(broker, credentials) as late:
        await late.watch()
        assert await late.delivered() == own("retained")


async def publish_everywhere(client: aiomqtt.Client, payload: bytes, *, retain: bool) -> None:
    for one in [*EVERY_TOPIC, *STRANGE_TOPICS]:
        await client.publish(one, payload, qos=1, retain=retain)


async def test_row_5_wills_reach_somebody_on_ones_own_topics_alone(
    broker: Broker, credentials: CredentialsFactory
) -> None:
    async with everybody(broker, credentials) as all_of_them:
        await all_of_them.watch()
        # The names are in use by the watching sessions, so others of the same three tenants die here.
        dying = [credentials.device(f"{device}-2") for device in DEVICES]
        own_will = [topic(who.name, Channel.STATE) for who in dying]
        await watch(all_of_them.service, own_will)
        for who, own_topic in zip(dying, own_will, strict=True):
            for one in [*EVERY_TOPIC, own_topic]:
                await die(broker, who, aiomqtt.Will(one, f"will of {who.name}".encode(), 1))
        expected = {(one, f"will of {who.name}".encode()) for who, one in zip(dying, own_will, strict=True)}
        seen: set[tuple[str, bytes]] = set()
        async with asyncio.timeout(DEADLINE_S):
            # The broker notices a broken connection in its own time.
            while not expected <= seen:
                seen |= await all_of_them.delivered()
        assert seen | await all_of_them.delivered() == expected


async def die(broker: Broker, who: Credentials, will: aiomqtt.Will) -> None:
    """Connects and breaks the connection, so that the broker publishes the will; a refusal is as good."""
    with contextlib.suppress(aiomqtt.MqttError):
        async with connected(broker, who, will) as client:
            raw = client._client.socket()
            assert raw is not None
            raw.shutdown(socket.SHUT_RDWR)
            async for _ in client.messages:
                pass


def filters(device: str) -> Sequence[str]:
    """Every way to ask for what is not one's own, and for what is."""
    exact = [*EVERY_TOPIC, *STRANGE_TOPICS]
    wild = [
        "#",
        "+/#",
        "wayside/#",
        "wayside/1/#",
        "+/+/+/+",
        "+/+/+/+/+",
        *(every_device(channel) for channel in Channel),
        *(f"wayside/1/{one}/#" for one in DEVICES),
        *(f"wayside/1/{one}/+" for one in DEVICES),
        "$SYS/#",
    ]
    return [*exact, *wild, *(f"$share/{device}/{one}" for one in [*exact, *wild] if not one.startswith("$"))]


async def test_row_5_subscriptions_yield_ones_own_topics_alone(broker: Broker, credentials: CredentialsFactory) -> None:
    async with everybody(broker, credentials) as all_of_them:
        # What is kept before they ask must not be given either.
        await fill(all_of_them, b"kept", retain=True)
        for device, client in all_of_them.devices.items():
            await watch(client, filters(device))
        await fill(all_of_them, b"new", retain=False)
        for device, client in all_of_them.devices.items():
            await all_of_them.service.publish(topic(device, Channel.COMMAND), MARK, qos=1)
            seen = set(await until_mark(client))
            assert {one for one, _ in seen} == {topic(device, channel) for channel in TO_DEVICE}
            assert {payload for _, payload in seen} == {b"kept", b"new"}


async def fill(installation: Installation, payload: bytes, *, retain: bool) -> None:
    """Every topic gets `payload` from whom it may come."""
    for device, client in installation.devices.items():
        for channel in FROM_DEVICE:
            await client.publish(topic(device, channel), payload, qos=1, retain=retain)
        for channel in TO_DEVICE:
            await installation.service.publish(topic(device, channel), payload, qos=1, retain=retain)
