"""Ends the session of a device with a revoked certificate: somebody else takes its name, once.

A broker re-reads its revocation list for new connections only; a session that stands stays. But the broker makes the
name in a certificate the client id, and a client id has one session: who connects with a fresh certificate of that name
gets it, and the device is disconnected. It cannot come back, because its own certificate is on the list by then. Where
another board has the name by now, that one is disconnected too, and does come back.
"""

import asyncio
import json
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from wayside_server.errors import TransientError
from wayside_server.identity.revocation import Cause, Ending
from wayside_shared.topics import Channel, topic

ANSWER_S = 10.0
"""Longer than a broker under a storm of reconnects takes for a handshake; the whole must be done within 60 s."""
HOLD_S = 2.0
"""The name is held for so long: a device whose certificate is still taken comes back at once or after a second."""
KEEPALIVE_S = 20
CLEARED_TYPE = "application/x-wayside-cleared"
"""Content type of the empty messages that clear a deleted device's topics: ingest passes over them."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and the roots that it descends from."""

    host: str
    port: int
    ca_file: Path


@dataclass(frozen=True, slots=True)
class Passport:
    """A certificate of a few minutes in the name of a device, and its key, both PEM."""

    chain: bytes
    key: bytes


class BrokerSessions:
    """Ends sessions of devices at one broker.

    Args:
        broker: where it is.
        passport: makes a certificate in a device's name.
    """

    def __init__(self, broker: Broker, passport: Callable[[str], Passport]) -> None:
        self._broker = broker
        self._passport = passport

    async def end(self, ending: Ending) -> bool:
        """Disconnects whoever has the name, and leaves word on its topic that it is offline, and why.

        Returns:
            Whether it stayed away; False when it took its name back, so that the broker still takes its certificate. Of
            a replaced one that is not looked at: the name is let go at once, for the board that has it now.

        Raises:
            TransientError: the broker is away, or refuses.
        """
        takeover = _Takeover(self._broker, ending)
        try:
            await asyncio.to_thread(takeover.dial, self._passport(ending.device))
            return await takeover.hold()
        except OSError as error:
            where = f"broker {self._broker.host}:{self._broker.port}"
            raise TransientError(f"{where} cannot be reached: {error.strerror or error}") from error
        finally:
            await asyncio.to_thread(takeover.close)


class _Takeover:
    def __init__(self, broker: Broker, ending: Ending) -> None:
        self._broker = broker
        self._ending = ending
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._was_in = False
        self._unsaid = 0
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=ending.device, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        self._client = client

    def dial(self, passport: Passport) -> None:
        context = ssl.create_default_context(cafile=str(self._broker.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # OpenSSL takes keys from files only.
        with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
            chain, key = Path(folder, "chain.pem"), Path(folder, "key.pem")
            chain.write_bytes(passport.chain)
            key.touch(mode=0o600)
            key.write_bytes(passport.key)
            context.load_cert_chain(chain, key)
        self._client.tls_set_context(context)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.connect(self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=True, properties=properties)
        self._client.loop_start()

    async def hold(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._told
        except TimeoutError as error:
            raise TransientError(f"the broker did not answer within {ANSWER_S:.0f} s") from error
        if self._ending.cause is Cause.REPLACED:
            return True
        try:
            async with asyncio.timeout(HOLD_S):
                await asyncio.shield(self._ended)
        except TimeoutError:
            return True
        # Mosquitto 2.0 closes the connection without a word that the session was taken over; a broker that ended just
        # now looks the same, and is tried again.
        return False

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        link = self._client.socket()
        if link is not None:
            link.close()

    def _settle(self, error: TransientError | None) -> None:
        def settle() -> None:
            if self._told.done():
                return
            if error is None:
                self._told.set_result(None)
            else:
                self._told.set_exception(error)

        self._call(settle)

    def _call(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._settle(TransientError(f"the broker refuses: {reason}"))
            return
        self._was_in = True
        # Retained, over the device's own last word and over its will, which the broker has published by now.
        words = _last_words(self._ending)
        self._unsaid = len(words)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if self._ending.cause is Cause.DELETED:
            properties.ContentType = CLEARED_TYPE
        for channel, word in words.items():
            client.publish(topic(self._ending.device, channel), word, 1, retain=True, properties=properties)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, _reason: ReasonCode, _properties: object
    ) -> None:
        self._unsaid -= 1
        if self._unsaid == 0:
            self._settle(None)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._settle(None if self._was_in else TransientError(f"the broker ended the session: {reason}"))

        def end() -> None:
            if not self._ended.done():
                self._ended.set_result(None)

        self._call(end)


def _last_words(ending: Ending) -> dict[Channel, str]:
    """What the broker is to keep on the topics that the device may write; of a deleted one nothing."""
    if ending.cause is Cause.DELETED:
        return {channel: "" for channel in Channel if channel.from_device}
    state = {"state": "offline", "reason": ending.cause.value, "at_ms": time.time_ns() // 1_000_000}
    return {Channel.STATE: json.dumps(state)}
