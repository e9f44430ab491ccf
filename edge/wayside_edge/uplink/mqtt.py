"""The way to the broker: paho-mqtt behind the `Transport` port. MQTT 5, TLS 1.3, the device's own certificate.

One paho client a session. A client that has lost its link is never used again, so nothing that belongs to an old
session (a late acknowledgement, a queued publish) can reach a new one.
"""

import asyncio
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wayside_edge.errors import DeviceRefusedError, TransientError
from wayside_edge.ports import Incoming, Outgoing
from wayside_edge.uplink.settings import UplinkSettings
from wayside_edge.uplink.trust import Present, client_context, present_files, refusal_of, refuse_outdated
from wayside_shared.session import STATE_CONTENT_TYPE
from wayside_shared.topics import Channel, topic

log = logging.getLogger(__name__)

INFLIGHT = 20
"""Publishes in flight: paho fixes it before the CONNACK and does not heed the broker's Receive Maximum, so it stands
well under what a broker grants (the specification's default is 65,535; ours grants 1,024)."""
CONNECT_TIMEOUT_S = 20.0
_TAKEN_OVER = 0x8E
"""MQTT 5, section 2.4: session taken over."""
_UNSPECIFIED = 0x80
"""What paho gives as the reason when there was none: the link just went."""
_REFUSALS = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C})
"""MQTT 5, section 3.2.2.2: protocol version, client id, password, not authorised, banned, bad method. The others say
that the broker is not well."""
SUBSCRIBED = (Channel.ACK, Channel.HELLO_SERVER)


class MqttTransport:
    """Opens sessions with the broker.

    Args:
        settings: `[uplink]`.
        earliest_ns: gives UTC nanoseconds that have passed for certain while the wall clock means nothing, and None
            while it is right.
        present: how the device's certificate and key get into a TLS context.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        earliest_ns: Callable[[], int | None] = lambda: None,
        present: Present = present_files,
    ) -> None:
        self._settings = settings
        self._earliest_ns = earliest_ns
        self._present = present

    async def connect(self) -> "MqttConnection":
        """A session, subscribed and announced (see `ports.Transport`)."""
        earliest_ns = self._earliest_ns()
        context = client_context(self._settings, timeless=earliest_ns is not None, present=self._present)
        connection = MqttConnection(self._settings, context, earliest_ns)
        try:
            await connection.open()
        except BaseException:
            await connection.close()
            raise
        return connection


class MqttConnection:
    """One session with the broker, from `MqttTransport.connect`."""

    def __init__(self, settings: UplinkSettings, context: ssl.SSLContext, earliest_ns: int | None) -> None:
        self._settings = settings
        self._earliest_ns = earliest_ns
        self._loop = asyncio.get_running_loop()
        self._incoming: asyncio.Queue[Incoming | None] = asyncio.Queue()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._state_topic = topic(settings.device, Channel.STATE)
        self._secured = False
        self._over = False
        self._ended = ""
        self._complained = False
        self._taken: dict[int, Callable[[], None]] = {}
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=settings.device, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.tls_set_context(context)
        client.max_inflight_messages_set(INFLIGHT)
        client.will_set(self._state_topic, _state("offline", "lost"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        self._client = client

    async def open(self) -> None:
        """Connect, subscribe, say that the device is there.

        Raises:
            TransientError: the broker is away or refuses this device; the message says which.
        """
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            await asyncio.to_thread(self._dial)
        except ssl.SSLCertVerificationError as error:
            reason = (
                f"broker {where}: its certificate is not signed by {self._settings.ca_file} ({error.verify_message})"
            )
            raise TransientError(reason) from error
        except ssl.SSLError as error:
            hint = "; it must speak TLS 1.3" if "VERSION" in str(error.reason) else ""
            if "CERTIFICATE" in str(error.reason) or "UNKNOWN_CA" in str(error.reason):
                said = refusal_of(error.reason) or f"{error.reason}"
                raise DeviceRefusedError(f"broker {where} refuses this device's certificate: {said}") from error
            raise TransientError(f"broker {where}: TLS failed: {error.reason or error}{hint}") from error
        except OSError as error:
            raise TransientError(f"broker {where} cannot be reached: {error.strerror or error}") from error
        self._secured = True
        self._client.loop_start()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._ready
        except TimeoutError as error:
            raise TransientError(f"broker {where} did not answer within {CONNECT_TIMEOUT_S:.0f} s") from error
        self.publish(Outgoing(self._state_topic, _state("online").encode(), STATE_CONTENT_TYPE, retain=True))

    def publish(self, message: Outgoing) -> None:
        """Hand `message` to paho; it counts as sent only once the server acknowledges it."""
        if self._over:
            raise TransientError("the session with the broker is over")
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = message.content_type
        properties.UserProperty = list(message.properties.items())
        info = self._client.publish(message.topic, message.payload, 1, message.retain, properties)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end()
            raise TransientError(f"the broker takes nothing: {mqtt.error_string(info.rc)}")
        if message.taken is not None:
            self._taken[info.mid] = message.taken

    async def incoming(self) -> AsyncIterator[Incoming]:
        """Messages as they come; ends with the session."""
        while (message := await self._incoming.get()) is not None:
            yield message

    @property
    def ended(self) -> str:
        """Why the session is over, for a person; empty while it stands."""
        return self._ended

    async def close(self) -> None:
        """Say goodbye and stop paho's thread."""
        if self._secured and not self._over:
            info = self._client.publish(self._state_topic, _state("offline", "stopped"), 1, retain=True)
            await asyncio.to_thread(_settle, info)
            self._client.disconnect()
        self._over = True
        await asyncio.to_thread(self._client.loop_stop)
        link = self._client.socket()
        if link is not None:
            # The thread may end before paho has closed what it no longer needs.
            link.close()

    def _dial(self) -> None:
        self._client.connect(
            self._settings.host,
            self._settings.port,
            keepalive=self._settings.keepalive_s,
            clean_start=True,
        )
        link = self._client.socket()
        if isinstance(link, ssl.SSLSocket) and self._earliest_ns is not None:
            refuse_outdated(link, self._earliest_ns)
        if isinstance(link, socket.socket):
            # Batches and their acknowledgements are small packets; Nagle would add 40 ms to each turn.
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _tell(self, outcome: Exception | None) -> None:
        def settle() -> None:
            if not self._ready.done():
                self._ready.set_result(None) if outcome is None else self._ready.set_exception(outcome)

        self._call(settle)

    def _tell_taken(self, mid: int) -> None:
        taken = self._taken.pop(mid, None)
        if taken is not None:
            taken()

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _end(self) -> None:
        self._over = True
        self._call(lambda: self._incoming.put_nowait(None))

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            kind = DeviceRefusedError if reason.value in _REFUSALS else TransientError
            self._tell(kind(f"the broker refuses {self._settings.device}: {reason}"))
            return
        client.subscribe([(topic(self._settings.device, channel), 1) for channel in SUBSCRIBED])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        error = TransientError(f"the broker refuses {self._settings.device} its own topics: {', '.join(refused)}")
        self._tell(error if refused else None)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        content_type = getattr(message.properties, "ContentType", None)
        incoming = Incoming(message.topic, bytes(message.payload), content_type)
        self._call(lambda: self._incoming.put_nowait(incoming))

    def _on_publish(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        # In the event loop, and so not before `publish` has noted whom to tell.
        self._call(lambda: self._tell_taken(mid))
        # Success here promises nothing; a refusal is worth a line, once a session.
        if reason.is_failure and not self._complained:
            self._complained = True
            log.error("the broker refuses what %s publishes: %s", self._settings.device, reason)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        # With TLS 1.3 a refused client certificate shows only here, after a handshake that seemed to succeed.
        hint = "; is this device's certificate expired, revoked or from another CA?" if not self._ready.done() else ""
        if reason.value == _TAKEN_OVER:
            hint = f"; is another board running with the certificate of {self._settings.device}?"
        said = "the connection broke" if reason.value == _UNSPECIFIED else str(reason)
        self._ended = f"{said}{hint}"
        self._tell(DeviceRefusedError(f"the broker ended the session: {self._ended}"))
        self._end()


def _settle(info: mqtt.MQTTMessageInfo) -> None:
    try:
        info.wait_for_publish(2.0)
    except (RuntimeError, ValueError):
        # The link went while we said goodbye; the broker's will says the rest.
        return


def _state(state: str, reason: str | None = None) -> str:
    said: dict[str, object] = {"state": state, "at_ms": time.time_ns() // 1_000_000}
    if reason is not None:
        said["reason"] = reason
    return json.dumps(said)
