"""The shipped broker configuration against a real mosquitto: what is delivered, not what the broker answers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from wayside_server.identity.authority import BACKDATING, create_authority, read_request
from wayside_server.identity.broker import BrokerPlan, render, render_acl
from wayside_shared.batch import MAX_MESSAGE_BYTES
from wayside_testkit.broker import Broker, handshake_and_connect
from wayside_testkit.credentials import Credentials, CredentialsFactory

REFUSED_S = 5.0


@asynccontextmanager
async def connected(
    broker: Broker, who: Credentials, *, client_id: str | None = None, will: aiomqtt.Will | None = None
) -> AsyncIterator[aiomqtt.Client]:
    """An MQTT 5 client with the certificate of `who`."""
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=who.name if client_id is None else client_id,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=who.client_context(),
        will=will,
        timeout=REFUSED_S,
    )
    async with client:
        yield client


async def next_topics(client: aiomqtt.Client, last: str) -> list[str]:
    """Topics delivered to `client` up to `last`, which the test publishes as a mark after everything else."""
    topics = []
    async with asyncio.timeout(REFUSED_S):
        async for message in client.messages:
            topics.append(message.topic.value)
            if message.topic.value == last:
                break
    return topics


def test_the_copy_for_etc_is_what_the_renderer_gives() -> None:
    folder = Path(__file__).parents[2] / "deploy" / "mosquitto"
    etc = Path("/etc/mosquitto")
    plan = BrokerPlan(
        host="0.0.0.0",
        port=8883,
        ca_file=etc / "wayside/ca.pem",
        cert_file=etc / "wayside/broker.pem",
        key_file=etc / "wayside/broker.key",
        crl_file=etc / "wayside/crl.pem",
        pid_file=None,
        acl_file=etc / "wayside/acl",
        user="mosquitto",
    )
    assert (folder / "wayside.conf").read_text() == render(plan)
    assert (folder / "acl").read_text() == render_acl()


async def test_a_service_reads_devices_and_devices_read_the_service(
    broker: Broker, credentials: CredentialsFactory
) -> None:
    async with (
        connected(broker, credentials.service(1)) as service,
        connected(broker, credentials.device("boiler-7")) as device,
    ):
        await service.subscribe("$share/ingest/wayside/1/+/up", qos=1)
        await device.subscribe("wayside/1/boiler-7/ack", qos=1)
        await device.publish("wayside/1/boiler-7/up", b"batch", qos=1)
        assert await next_topics(service, "wayside/1/boiler-7/up") == ["wayside/1/boiler-7/up"]
        await service.publish("wayside/1/boiler-7/ack", b"ack", qos=1)
        assert await next_topics(device, "wayside/1/boiler-7/ack") == ["wayside/1/boiler-7/ack"]


async def test_shared_subscriptions_divide_the_load(broker: Broker, credentials: CredentialsFactory) -> None:
    async with (
        connected(broker, credentials.service(1)) as one,
        connected(broker, credentials.service(2)) as two,
        connected(broker, credentials.device("boiler-7")) as device,
    ):
        for service in (one, two):
            await service.subscribe("$share/ingest/wayside/1/+/up", qos=1)
            await service.subscribe("wayside/1/+/state", qos=1)
        for _ in range(10):
            await device.publish("wayside/1/boiler-7/up", b"batch", qos=1)
        await device.publish("wayside/1/boiler-7/state", b"end", qos=1)
        counts = [len(await next_topics(service, "wayside/1/boiler-7/state")) - 1 for service in (one, two)]
        assert sum(counts) == 10
        assert min(counts) > 0


FOREIGN_FILTERS = [
    "wayside/1/boiler-7/ack",
    "wayside/1/boiler-7/#",
    "wayside/1/+/ack",
    "wayside/1/+/up",
    "wayside/1/#",
    "wayside/#",
    "+/+/+/ack",
    "#",
    "$share/g/wayside/1/+/ack",
    "$share/g/wayside/1/boiler-7/up",
    "$share/g/#",
    "$SYS/#",
]


async def test_a_device_gets_nothing_of_another(broker: Broker, credentials: CredentialsFactory) -> None:
    async with (
        connected(broker, credentials.service(1)) as service,
        connected(broker, credentials.device("boiler-7")) as victim,
        connected(broker, credentials.device("intruder")) as intruder,
    ):
        await intruder.subscribe([(pattern, at_qos_1()) for pattern in FOREIGN_FILTERS])
        await intruder.subscribe("wayside/1/intruder/ack", qos=1)
        await victim.publish("wayside/1/boiler-7/state", b"retained", qos=1, retain=True)
        await victim.publish("wayside/1/boiler-7/up", b"secret", qos=1)
        await service.publish("wayside/1/boiler-7/desired", b"retained", qos=1, retain=True)
        await service.publish("wayside/1/boiler-7/ack", b"secret", qos=1)
        await intruder.subscribe([(pattern, at_qos_1()) for pattern in FOREIGN_FILTERS])
        await service.publish("wayside/1/intruder/ack", b"mark", qos=1)
        assert set(await next_topics(intruder, "wayside/1/intruder/ack")) == {"wayside/1/intruder/ack"}


def at_qos_1() -> SubscribeOptions:
    """QoS 1, retained messages included."""
    return SubscribeOptions(qos=1)


FOREIGN_TOPICS = [
    "wayside/1/boiler-7/up",
    "wayside/1/boiler-7/state",
    "wayside/1/boiler-7/ack",
    "wayside/1/intruder/ack",
    "wayside/1/intruder/cmd",
    "wayside/1/intruder/desired",
    "wayside/1/intruder/hello/server",
    "wayside/1/intruder/up/more",
    "wayside/2/intruder/up",
    "$SYS/broker/version",
    "free",
]


async def test_a_device_cannot_publish_outside_its_channels(broker: Broker, credentials: CredentialsFactory) -> None:
    async with (
        connected(broker, credentials.service(1)) as service,
        connected(broker, credentials.device("boiler-7")) as victim,
        connected(broker, credentials.device("intruder")) as intruder,
    ):
        for channel in ("up", "state"):
            await service.subscribe(f"wayside/1/+/{channel}", qos=1)
        await victim.subscribe("wayside/1/boiler-7/ack", qos=1)
        for channel in ("ack", "cmd", "desired", "hello/server"):
            await intruder.subscribe(f"wayside/1/intruder/{channel}", qos=1)
        for topic in FOREIGN_TOPICS:
            for retain in (False, True):
                await intruder.publish(topic, b"forged", qos=1, retain=retain)
        await intruder.publish("wayside/1/intruder/up", b"mark", qos=1)
        await service.publish("wayside/1/boiler-7/ack", b"mark", qos=1)
        await service.publish("wayside/1/intruder/cmd", b"mark", qos=1)
        assert await next_topics(service, "wayside/1/intruder/up") == ["wayside/1/intruder/up"]
        assert await next_topics(victim, "wayside/1/boiler-7/ack") == ["wayside/1/boiler-7/ack"]
        assert await next_topics(intruder, "wayside/1/intruder/cmd") == ["wayside/1/intruder/cmd"]
        # Nothing forged was kept either.
        async with connected(broker, credentials.service(2)) as late:
            for channel in ("up", "state"):
                await late.subscribe(f"wayside/1/+/{channel}", qos=1)
            await intruder.publish("wayside/1/intruder/up", b"mark", qos=1)
            assert await next_topics(late, "wayside/1/intruder/up") == ["wayside/1/intruder/up"]


async def test_a_foreign_publication_is_refused_to_its_sender_and_told_nobody_else(
    broker: Broker, credentials: CredentialsFactory
) -> None:
    reasons: list[int] = []
    async with (
        connected(broker, credentials.service(1)) as service,
        connected(broker, credentials.device("intruder")) as intruder,
    ):
        await service.subscribe("$SYS/broker/log/#", qos=1)
        await service.subscribe("wayside/1/+/up", qos=1)
        inner: Any = intruder._client.on_publish

        def note(client: object, data: object, mid: int, reason: ReasonCode, properties: object) -> None:
            reasons.append(reason.value)
            inner(client, data, mid, reason, properties)

        intruder._client.on_publish = note
        await intruder.publish("wayside/1/boiler-7/up", b"forged", qos=1)
        await intruder.publish("wayside/1/intruder/up", b"mark", qos=1)
        seen = []
        async with asyncio.timeout(REFUSED_S):
            async for message in service.messages:
                seen.append(bytes(message.payload))
                if seen[-1] == b"mark":
                    break
    assert reasons == [0x87, 0]
    # A broker that one day logs it where ingest can read it makes decision 0012 out of date.
    assert [line for line in seen if b"boiler-7" in line or line == b"forged"] == []


async def test_a_will_reaches_only_ones_own_topic(broker: Broker, credentials: CredentialsFactory) -> None:
    async with connected(broker, credentials.service(1)) as service:
        await service.subscribe("wayside/1/+/state", qos=1)
        for target in ("wayside/1/boiler-7/state", "wayside/1/intruder/state"):
            await drop_connection(broker, credentials.device("intruder"), aiomqtt.Will(target, b"gone", qos=1))
        assert await next_topics(service, "wayside/1/intruder/state") == ["wayside/1/intruder/state"]


async def drop_connection(broker: Broker, who: Credentials, will: aiomqtt.Will) -> None:
    """Connects with `will` and cuts the connection, so that the broker publishes it; a refusal is as good."""
    try:
        async with connected(broker, who, will=will) as client:
            raw = client._client.socket()
            assert raw is not None
            raw.shutdown(socket.SHUT_RDWR)
            async with asyncio.timeout(REFUSED_S):
                async for _ in client.messages:
                    pass
    except aiomqtt.MqttError:
        pass


async def test_a_client_id_cannot_be_taken(broker: Broker, credentials: CredentialsFactory) -> None:
    """Row 6."""
    async with (
        connected(broker, credentials.service(1)) as service,
        connected(broker, credentials.device("boiler-7")) as victim,
        connected(broker, credentials.device("intruder"), client_id="boiler-7") as intruder,
    ):
        await victim.subscribe("wayside/1/boiler-7/ack", qos=1)
        await intruder.subscribe("wayside/1/boiler-7/ack", qos=1)
        await intruder.subscribe("wayside/1/intruder/ack", qos=1)
        await service.publish("wayside/1/boiler-7/ack", b"for the victim", qos=1)
        await service.publish("wayside/1/intruder/ack", b"mark", qos=1)
        assert await next_topics(victim, "wayside/1/boiler-7/ack") == ["wayside/1/boiler-7/ack"]
        assert await next_topics(intruder, "wayside/1/intruder/ack") == ["wayside/1/intruder/ack"]


async def test_a_packet_over_the_limit_is_refused(broker: Broker, credentials: CredentialsFactory) -> None:
    async with connected(broker, credentials.service(1)) as service:
        await service.subscribe("wayside/1/+/up", qos=1)
        async with connected(broker, credentials.device("boiler-7")) as device:
            await device.publish("wayside/1/boiler-7/up", bytes(MAX_MESSAGE_BYTES), qos=1)
            async with asyncio.timeout(REFUSED_S):
                message = await anext(aiter(service.messages))
            assert len(bytes(message.payload)) == MAX_MESSAGE_BYTES
        await is_disconnected(broker, credentials.device("intruder"), bytes(MAX_MESSAGE_BYTES + 4096), qos=0)
        async with connected(broker, credentials.device("boiler-7")) as device:
            await device.publish("wayside/1/boiler-7/up", b"mark", qos=1)
        assert await next_topics(service, "wayside/1/boiler-7/up") == ["wayside/1/boiler-7/up"]


async def test_qos_2_is_not_offered(broker: Broker, credentials: CredentialsFactory) -> None:
    await is_disconnected(broker, credentials.device("boiler-7"), b"batch", qos=2)


async def is_disconnected(broker: Broker, who: Credentials, payload: bytes, qos: int) -> None:
    """Publishes what is not allowed, and waits until the broker hangs up."""
    with pytest.raises(aiomqtt.MqttError):  # noqa: PT012 - which call notices it is a matter of timing
        async with connected(broker, who) as client, asyncio.timeout(REFUSED_S):
            client._client.publish(f"wayside/1/{who.name}/up", payload, qos)
            await anext(aiter(client.messages))


async def test_no_certificate_is_refused(broker: Broker, credentials: CredentialsFactory) -> None:
    context = ssl.create_default_context(cafile=str(credentials.ca_file))
    assert await handshake_and_connect(broker, context) == b""


@pytest.mark.parametrize(
    "kind", ["another authority", "a server's certificate", "self-signed", "expired", "not yet valid"]
)
async def test_a_wrong_certificate_is_refused(
    broker: Broker, credentials: CredentialsFactory, tmp_path: Path, kind: str
) -> None:
    """Rows 7 and 8; the line on certificates of reliability section 3.2, with test_revocation.py."""
    stranger = wrong_credentials(kind, credentials, tmp_path)
    context = ssl.create_default_context(cafile=str(credentials.ca_file))
    context.load_cert_chain(stranger.cert_file, stranger.key_file)
    assert await handshake_and_connect(broker, context) == b""


def wrong_credentials(kind: str, credentials: CredentialsFactory, tmp_path: Path) -> Credentials:
    """Credentials that the broker must not take."""
    match kind:
        case "another authority":
            other = tmp_path / "other"
            other.mkdir()
            return CredentialsFactory(other).device("boiler-7")
        case "a server's certificate":
            return credentials.server()
        case "expired":
            return credentials.device("boiler-7", days=-1)
        case "not yet valid":
            return credentials.device("boiler-7", now=datetime.now(UTC) + BACKDATING + timedelta(hours=1))
    root, _ = create_authority(datetime.now(UTC))
    return credentials.write("self-signed", root.certificate, root.key)


async def test_tls_1_2_is_refused(broker: Broker, credentials: CredentialsFactory) -> None:
    """Row 7."""
    context = credentials.device("boiler-7").client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)version"):
        await handshake_and_connect(broker, context)


async def test_plain_mqtt_is_refused(broker: Broker) -> None:
    reader, writer = await asyncio.open_connection(broker.host, broker.port)
    writer.write(bytes.fromhex("100d00044d51545405020014000000"))
    try:
        async with asyncio.timeout(REFUSED_S):
            answer = await reader.read(64)
    except ConnectionError:
        answer = b""
    writer.close()
    assert not answer.startswith(b"\x20"), "the broker sent a CONNACK"


async def test_an_ed25519_device_is_taken(broker: Broker, credentials: CredentialsFactory, tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
    public = read_request(request.public_bytes(serialization.Encoding.DER))
    certificate = credentials.authority.issue_device("modern-one", public, now=datetime.now(UTC), days=1)
    cert_file, key_file = tmp_path / "ed.pem", tmp_path / "ed.key"
    cert_file.write_bytes(credentials.authority.chain_pem(certificate))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    async with connected(broker, Credentials("modern-one", credentials.ca_file, cert_file, key_file)) as device:
        await device.publish("wayside/1/modern-one/up", b"batch", qos=1)


async def test_a_restart_forgets_sessions_and_keeps_the_port(broker: Broker, credentials: CredentialsFactory) -> None:
    port = broker.port
    async with connected(broker, credentials.device("boiler-7")) as device:
        await device.publish("wayside/1/boiler-7/state", b"kept in memory", qos=1, retain=True)
    broker.restart()
    assert broker.port == port
    async with connected(broker, credentials.service(1)) as service:
        await service.subscribe("wayside/1/+/state", qos=1)
        async with connected(broker, credentials.device("boiler-7")) as device:
            await device.publish("wayside/1/boiler-7/state", b"mark", qos=1)
        assert await next_topics(service, "wayside/1/boiler-7/state") == ["wayside/1/boiler-7/state"]
