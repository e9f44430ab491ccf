"""The device's certificate, and the way to the broker up to the point where MQTT would begin.

MQTT itself is not spoken: a second session of this device would end that of the agent that runs.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from wayside_edge.commands.doctor.finding import Finding, ok, problem, warning
from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.guarding import refuse_readable
from wayside_edge.identity.settings import TokenSettings
from wayside_edge.ports import Clock
from wayside_edge.uplink import credentials
from wayside_edge.uplink.settings import UplinkSettings
from wayside_edge.uplink.trust import Present, client_context, present_files, refusal_of
from wayside_shared.clock import NS_PER_S

ENROL: Final = credentials.ENROL
CONNECT_S: Final = 10.0
REFUSAL_S: Final = 1.5
"""In TLS 1.3 a server refuses a client's certificate after the handshake (RFC 8446, 4.4.2.4): so long its alert is
waited for, which is several round trips of a slow link. A broker that is content says nothing."""
SOON: Final = timedelta(days=14)


def examine(settings: UplinkSettings, clock: Clock, token: TokenSettings | None = None) -> Iterator[Finding]:
    """Certificate, then name, connection and TLS, as far as each succeeds; `token` holds the key that no file holds."""
    now = datetime.fromtimestamp(clock.wall_ns() / NS_PER_S, UTC)
    try:
        if token is None:
            refuse_readable(settings.key_file)
        credentials.check(settings, now, in_token=token is not None)
    except ConfigError as error:
        yield problem("enrolment", str(error), ENROL)
    else:
        yield _until(
            *("enrolment", f"the certificate of {settings.device}", credentials.expires(settings), now),
            fix=f"get a new token and type: {ENROL}",
        )
    where = f"{settings.host}:{settings.port}"
    try:
        addresses = {
            str(found[4][0]) for found in socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        }
    except OSError as error:
        yield problem(
            "broker", f"the name {settings.host} has no address: {error}", "correct uplink.host, or this machine's DNS"
        )
        return
    yield ok("broker", f"{settings.host} is {', '.join(sorted(addresses))}")
    try:
        link = socket.create_connection((settings.host, settings.port), CONNECT_S)
    except OSError as error:
        yield problem(
            "broker", f"{where} cannot be reached: {error}", "see uplink.port, the firewall between, and the broker"
        )
        return
    with link:
        yield from _tls(settings, link, now, timeless=not clock.synced(), token=token)


def _tls(
    settings: UplinkSettings, link: socket.socket, now: datetime, *, timeless: bool, token: TokenSettings | None
) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    try:
        context = client_context(settings, timeless=timeless, present=_presenting(token))
        with context.wrap_socket(link, server_hostname=settings.host) as secured:
            certificate = secured.getpeercert() or {}
            secured.settimeout(REFUSAL_S)
            with suppress(TimeoutError):
                secured.recv(1)
    except (TransientError, ConfigError) as error:
        yield problem("broker", f"TLS was not tried: {error}", ENROL)
    except ssl.SSLCertVerificationError as error:
        fix = f"on the server: wayside-server init --host {settings.host}; or correct uplink.host or uplink.ca_file"
        yield problem("broker", f"{where}: its certificate is not to be trusted: {error.verify_message}", fix)
    except ssl.SSLError as error:
        said = refusal_of(error.reason) or error.reason or str(error)
        yield problem("broker", f"{where} refuses this device over TLS: {said}", _way_back(error.reason or ""))
    except OSError as error:
        yield problem(
            "broker", f"{where} ended the connection: {error}", "see whether uplink.port is that of MQTT over TLS"
        )
    else:
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
        yield _until(
            "broker", f"{where} takes this device; its own certificate", ends, now, "on the server: wayside-server init"
        )


def _way_back(reason: str) -> str:
    """What helps against a broker's TLS alert."""
    if reason.endswith("CERTIFICATE_REVOKED"):
        return "it was revoked; ask who runs the server"
    if reason.endswith("CERTIFICATE_EXPIRED"):
        return (
            f"ask who runs the server to renew it on the page Enrol while the agent runs; or with a new token: {ENROL}"
        )
    return f"see the broker's log; if it does not know this device's certificate: {ENROL}"


def _presenting(token: TokenSettings | None) -> Present:
    if token is None:
        return present_files
    from wayside_edge.identity.token import present_token  # ctypes, for boards with a token alone

    return lambda context, own: present_token(context, own.cert_file, token)


def _until(area: str, what: str, ends: datetime, now: datetime, fix: str) -> Finding:
    told = f"{what} is good until {ends:%Y-%m-%d}"
    return warning(area, told, fix) if ends - now < SOON else ok(area, told)
