"""What the MQTT broker must enforce, written as a mosquitto configuration (2.0 and 2.1) and its access rules."""

from dataclasses import dataclass
from pathlib import Path

from wayside_server.identity.authority import SERVICE_INSTANCES, service_name
from wayside_shared.batch import MAX_MESSAGE_BYTES
from wayside_shared.topics import Channel, every_device, topic

PACKET_OVERHEAD_BYTES = 2048
"""Room for what surrounds a message of the largest size: the longest topic is 82 bytes, the rest are properties."""
MAX_KEEPALIVE_S = 600
"""The longest keep-alive that an agent can be set to."""
MAX_CONNECTIONS = 20_000
"""About 26 KiB of memory each, measured with TLS: 520 MB."""
MAX_QUEUED_BYTES = 128 * 1024 * 1024
MEMORY_LIMIT_BYTES = 2 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """Where one broker listens and where its files stand.

    Args:
        host: address to listen on.
        port: TLS port.
        ca_file: root certificate that clients must descend from.
        cert_file: the broker's certificate and intermediate.
        key_file: the broker's private key.
        crl_file: revocation lists of every CA that issues clients' certificates.
        pid_file: where the broker leaves its process id, by which it is told to read the lists again; None where the
            configuration that includes this one says so.
        acl_file: what `render_acl` gave.
        user: account that the broker changes to when root starts it; it must be able to read the key.
    """

    host: str
    port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    crl_file: Path
    pid_file: Path | None
    acl_file: Path
    user: str


def render(plan: BrokerPlan) -> str:
    """The text of mosquitto.conf."""
    listener = [
        (f"listener {plan.port} {plan.host}", "The only listener: there is no plain one."),
        (f"cafile {plan.ca_file}", "Clients must descend from this root, and servers' certificates are not clients'."),
        (f"certfile {plan.cert_file}", "The broker's own certificate, with the intermediate."),
        (f"keyfile {plan.key_file}", "Its key, readable by the account above only."),
        (
            f"crlfile {plan.crl_file}",
            "Who is revoked is refused. Read again on SIGHUP; once its nextUpdate has passed everybody is refused, so"
            " wayside-server renews it daily.",
        ),
        ("tls_version tlsv1.3", "Nothing older is spoken: all our clients have 1.3, and it hides the certificates."),
        ("require_certificate true", "No certificate, no connection."),
        ("use_identity_as_username true", "The certificate's common name is who the client is; it sends no password."),
        ("use_username_as_clientid true", "A client id equal to the name: none can disconnect another by taking it."),
        ("max_qos 1", "At QoS 2 a client that dies between PUBREC and PUBREL loses the message for ever."),
        (f"max_connections {MAX_CONNECTIONS}", "Bounds memory and file descriptors; raise it with LimitNOFILE."),
    ]
    return _lines("Broker of a Wayside installation.", [*_global(plan), *listener])


BROKER_LOG = "$SYS/broker/log/#"
"""Where the broker publishes its log."""


def render_acl() -> str:
    """The text of the access rules: a device below its own name, the server's sessions everywhere, no one else."""
    writes = [channel for channel in Channel if channel.from_device]
    reads = [channel for channel in Channel if not channel.from_device]
    lines = ["# Who may use which topic; what is not listed is refused. Written by wayside-server; do not edit."]
    for instance in range(1, SERVICE_INSTANCES + 1):
        # A blank line separates users; the rules of a user end where the next one starts.
        lines += ["", f"user {service_name(instance)}"]
        lines += [f"topic read {every_device(channel)}" for channel in writes]
        lines += [f"topic read {BROKER_LOG}"]
        lines += [f"topic write {every_device(channel)}" for channel in reads]
    lines += ["", "# Every device, by the common name of its certificate (%u)."]
    lines += [f"pattern write {topic('%u', channel)}" for channel in writes]
    lines += [f"pattern read {topic('%u', channel)}" for channel in reads]
    return "\n".join(lines) + "\n"


def _global(plan: BrokerPlan) -> list[tuple[str, str]]:
    packet = MAX_MESSAGE_BYTES + PACKET_OVERHEAD_BYTES
    return [
        ("per_listener_settings false", "One set of rules for the one listener; 2.1 gives the alternative up."),
        (f"user {plan.user}", "The account that owns the key."),
        ("allow_anonymous false", "Who is not named by a certificate is refused."),
        *_pid_file(plan),
        (f"acl_file {plan.acl_file}", "Devices below their own name only."),
        (
            "persistence false",
            "The outbox on the device keeps what is not committed, so the broker owes nothing to a disk: a restart"
            " costs a replay, and no stale session can acknowledge what was never processed.",
        ),
        (
            "persistent_client_expiration 1d",
            "A session left behind by a device that never returns is forgotten; one that returns loses nothing.",
        ),
        (f"max_packet_size {packet}", "A little above the largest batch; the sender of more is disconnected."),
        (
            "max_inflight_messages 1024",
            "Acknowledgements to thousands of devices and batches from them must not wait for 20 round trips.",
        ),
        (
            "max_queued_messages 20000",
            "A slow ingest session may lag by this much; what overflows is sent again by its device.",
        ),
        (f"max_queued_bytes {MAX_QUEUED_BYTES}", "The same limit in memory: 128 MiB a session."),
        (
            f"memory_limit {MEMORY_LIMIT_BYTES}",
            "Above 2 GiB single messages are refused instead of the whole broker being killed.",
        ),
        (f"max_keepalive {MAX_KEEPALIVE_S}", "A dead link is noticed within 15 minutes, whatever the client asks."),
        ("allow_zero_length_clientid false", "A client without a name is none of ours."),
        ("retain_available true", "Birth, will and desired configuration are retained."),
        ("set_tcp_nodelay true", "Acknowledgements are small; waiting to fill a packet would only delay them."),
        ("sys_interval 0", "Nobody reads the broker's statistics, so they are not computed."),
        ("log_dest stderr", "The journal, or whoever started the broker, keeps the log."),
        ("log_dest topic", "The server's sessions count refusals from it, for operators to see."),
        ("log_type error", "Refused certificates and failed handshakes."),
        ("log_type warning", ""),
        ("log_type notice", "Connects and disconnects."),
        ("log_type subscribe", "Who asks for topics of others gets nothing, and is counted."),
    ]


def _pid_file(plan: BrokerPlan) -> list[tuple[str, str]]:
    if plan.pid_file is None:
        return []
    return [(f"pid_file {plan.pid_file}", "By it wayside-server finds the broker when the revocation list is new.")]


def _lines(heading: str, directives: list[tuple[str, str]]) -> str:
    lines = [f"# {heading} Written by wayside-server; do not edit."]
    for directive, reason in directives:
        if reason:
            lines += ["", f"# {reason}"]
        lines.append(directive)
    return "\n".join(lines) + "\n"
