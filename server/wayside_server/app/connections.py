"""HTTP connections that cost no more than they may: in number, in the head of a request, in waiting for a reader."""

import asyncio
import resource
import socket
import ssl
import sys
from functools import partial

import structlog
import uvicorn
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from wayside_server.config import ApiSettings
from wayside_server.errors import ConfigError

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together; browsers and proxies stop at 8 to 32 KiB."""
HEAD_S = 10.0
"""How long a client may take to send them, and as long for the TLS handshake before."""
OTHER_FILES = 256
"""Files and sockets of the process besides clients: the database's, logs, libraries, and handshakes under way."""
ENOUGH_FILES = 65_536
"""More file descriptors are not asked for: room for handshakes, which no limit of ours counts."""

REFUSED = Counter("wayside_api_connections_refused_total", "Connections closed at once: `api.connections` were open.")
CUT = Counter("wayside_api_readers_cut_total", "Connections closed because their readers took nothing for too long.")


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, to clients that send the head of a request in time and not without end.

    Neither httptools nor uvicorn bounds either; a client without a key could fill the memory. Nor do they mind a reader
    that has stopped: it would hold whatever its answer is made from.
    """

    max_connections = 1_000
    send_timeout_s = 60.0
    _full = False
    """Of all connections of the server: each has a class of its own, see `bounded`."""
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _reader_deadline: asyncio.TimerHandle | None = None
    _tls: dict[object, object] | None = None
    """What the ASGI extension `tls` says of a client with a certificate."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            REFUSED.inc()
            if not self._full:
                type(self)._full = True
                log.warning("no more connections are taken", open=self.max_connections)
            transport.abort()
            return
        self._tls = tls_of(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._give_up()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": dict(self._tls)}
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_took_it()
        self._reader_deadline = self.loop.call_later(self.send_timeout_s, self._cut_reader)

    def resume_writing(self) -> None:
        self._reader_took_it()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._reader_took_it()
        super().connection_lost(exc)
        if self._full and len(self.connections) < self.max_connections:
            type(self)._full = False
            log.info("connections are taken again")

    def _await_head(self) -> None:
        self._head_arrived()
        self._head_bytes = 0
        self._deadline = self.loop.call_later(HEAD_S, self._give_up)

    def _head_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _reader_took_it(self) -> None:
        if self._reader_deadline is not None:
            self._reader_deadline.cancel()
            self._reader_deadline = None

    def _cut_reader(self) -> None:
        CUT.inc()
        log.warning("a reader took nothing for too long and was cut", client=self.client, timeout_s=self.send_timeout_s)
        self.transport.abort()

    def _give_up(self) -> None:
        self._head_arrived()
        self.transport.abort()


def tls_of(transport: asyncio.BaseTransport) -> dict[object, object] | None:
    """What the ASGI extension `tls` says of the connection; None when the client showed no certificate.

    A certificate that does not verify has ended the handshake before.
    """
    link = transport.get_extra_info("ssl_object")
    certificate = None if link is None else link.getpeercert(True)
    if certificate is None:
        return None
    return {
        "server_cert": None,
        "client_cert_chain": (ssl.DER_cert_to_PEM_cert(certificate),),
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": None,
        "cipher_suite": None,
    }


def bounded(settings: ApiSettings) -> type[BoundedHttp]:
    """The protocol of one server."""

    class Configured(BoundedHttp):
        max_connections = settings.connections
        send_timeout_s = settings.send_timeout_s

    return Configured


def allow_files(connections: int) -> None:
    """Lets this process open as many files as `connections` and all else take.

    Raises:
        ConfigError: the system does not allow it.
    """
    needed = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    if most < needed:
        raise ConfigError(
            f"api.connections = {connections} takes {needed} file descriptors, and this process may have {most}; "
            "raise its limit (LimitNOFILE= of its unit, ulimit -n), or lower api.connections"
        )
    wanted = min(most, max(needed, ENOUGH_FILES))
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedServer(uvicorn.Server):
    """uvicorn on given sockets, which gives up clients that do not finish their TLS handshake."""

    def __init__(self, config: uvicorn.Config, http: type[BoundedHttp]) -> None:
        super().__init__(config)
        self._http = http

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        config, loop = self.config, asyncio.get_running_loop()
        protocol = partial(self._http, config=config, server_state=self.server_state, app_state=self.lifespan.state)
        self.servers = [
            await loop.create_server(
                protocol,
                sock=one,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=None if config.ssl is None else HEAD_S,
            )
            for one in sockets or []
        ]
        self.started = True
