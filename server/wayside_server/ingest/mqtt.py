"""Ingest's sessions with the broker: paho-mqtt in its own thread, messages handed to the event loop in order.

One paho client a session, and messages are acknowledged by hand. A PUBACK for a session that is over goes nowhere,
because it needs that session's client.
"""

import asyncio
import itertools
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wayside_server.domain.ingest import Raw
from wayside_server.errors import TransientError
from wayside_server.ingest.takeover import CLEARED_TYPE
from wayside_shared import topics
from wayside_shared.topics import Channel

RECEIVE_MAXIMUM = 256
"""Messages that the broker may have in flight to a session: with the limit of a message, this bounds its memory."""
KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 20.0
SHARE = "$share/ingest"
"""All sessions share one subscription; a session keeps nothing behind when it ends, so no message is parked on it."""
SUBSCRIBED = (Channel.UP, Channel.HELLO_DEVICE, Channel.STATE, Channel.LOG)
BROKER_LOGS = ("$SYS/broker/log/E", "$SYS/broker/log/N", "$SYS/broker/log/M/subscribe")
"""Errors, notices and subscriptions, as the broker logs them; no shared subscription gets them, so one session does."""
_generations = itertools.count(1)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and who this session is: its certificate's name is its client id."""

    host: str
    port: int
    name: str
    ca_file: Path
    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Received:
    """A message on one of the subscribed channels, with what its PUBACK needs."""

    raw: Raw
    channel: Channel
    packet_id: int


class BrokerSession:
    """One session. `on_messages` and `on_end` run in the event loop.

    Args:
        address: the broker.
        on_messages: called when `take` has something new.
        on_end: called once, when the session is over, with the reason.
        on_broker_log: called with each line of the broker's log; None to leave it to another session.
    """

    def __init__(
        self,
        address: BrokerAddress,
        on_messages: Callable[[], None],
        on_end: Callable[[str], None],
        on_broker_log: Callable[[str], None] | None = None,
    ) -> None:
        self._on_broker_log = on_broker_log
        self.generation = next(_generations)
        self._address = address
        self._on_messages = on_messages
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._received: deque[Received] = deque()
        self._signalled = False
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.name,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        self._client = client

    async def open(self) -> None:
        """Connect and subscribe.

        Raises:
            TransientError: the broker is away or refuses; the message says which.
        """
        where = f"broker {self._address.host}:{self._address.port}"
        try:
            await asyncio.to_thread(self._dial)
        except (OSError, ssl.SSLError) as error:
            raise TransientError(f"{where} cannot be reached: {error.strerror or error}") from error
        self._client.loop_start()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._ready
        except TimeoutError as error:
            raise TransientError(f"{where} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from error

    def take(self) -> list[Received]:
        """Everything that has come since the last call, in order."""
        self._signalled = False
        taken: list[Received] = []
        while self._received:
            taken.append(self._received.popleft())
        return taken

    def publish(self, device: str, channel: Channel, payload: bytes, content_type: str) -> None:
        """Send `payload` to `device` at QoS 0: a lost acknowledgement costs one retransmission."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        self._client.publish(topics.topic(device, channel), payload, 0, properties=properties)

    def acknowledge(self, packet_id: int) -> None:
        """PUBACK a message of this session."""
        self._client.ack(packet_id, 1)

    async def close(self) -> None:
        """End the session and stop paho's thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        link = self._client.socket()
        if link is not None:
            # The thread may end before paho has closed what it no longer needs.
            link.close()

    def _dial(self) -> None:
        context = ssl.create_default_context(cafile=str(self._address.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self._address.cert_file, self._address.key_file)
        self._client.tls_set_context(context)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect(
            self._address.host, self._address.port, keepalive=KEEPALIVE_S, clean_start=True, properties=properties
        )
        link = self._client.socket()
        if isinstance(link, socket.socket):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _tell(self, error: TransientError | None) -> None:
        def settle() -> None:
            if self._ready.done():
                return
            if error is None:
                self._ready.set_result(None)
            else:
                self._ready.set_exception(error)

        self._call(settle)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._tell(TransientError(f"the broker refuses {self._address.name}: {reason}"))
            return
        filters = [f"{SHARE}/{topics.every_device(channel)}" for channel in SUBSCRIBED]
        if self._on_broker_log is not None:
            filters.extend(BROKER_LOGS)
        client.subscribe([(text, 1) for text in filters])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._tell(TransientError(f"the broker refuses the subscriptions: {', '.join(refused)}") if refused else None)

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        address = topics.parse(message.topic)
        content_type = getattr(message.properties, "ContentType", None)
        if address is None or (content_type == CLEARED_TYPE and not message.payload):
            client.ack(message.mid, message.qos)
            if self._on_broker_log is not None and message.topic in BROKER_LOGS:
                self._call(partial(self._on_broker_log, message.payload.decode(errors="replace")))
            return
        raw = Raw(address.device, message.topic, content_type, bytes(message.payload), time.time_ns() // 1000)
        self._received.append(Received(raw, address.channel, message.mid))
        if not self._signalled:
            self._signalled = True
            self._call(self._on_messages)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._tell(TransientError(f"the broker ended the session: {reason}"))
        self._call(lambda: self._on_end(str(reason)))
