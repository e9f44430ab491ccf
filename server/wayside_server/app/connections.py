"""HTTP connections that cost no more than they may: in number, in the head of a request, in waiting for a reader."""

import asyncio
import collections
import resource
import socket
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import structlog
import uvicorn
from prometheus_client import Counter
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from wayside_server.config import ApiSettings
from wayside_server.domain.addresses import Networks, is_within, network_of, networks_of
from wayside_server.errors import ConfigError
from wayside_server.identity.bulk import MAX_IMPORT_BYTES

log = structlog.get_logger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together; browsers and proxies stop at 8 to 32 KiB."""
HEAD_S = 10.0
"""How long a client may take to send them, and as long for the TLS handshake before."""
BODY_S = 20.0
"""How long a client may take to begin with the body of a request, or to be done with one that is answered already."""
BODY_BYTES_PER_S = 1_024
"""How fast it must send the body after that; cellular modems of boards manage some 2 KB/s at their worst."""
MAX_BODY_BYTES = MAX_IMPORT_BYTES + 64 * 1024
"""No route takes more than an import; the application answers smaller ones that are too large, 413."""
MAX_WAITING = 8
"""Requests that are sent ahead on one connection, before the one before is answered. Browsers send none."""
MAX_WAITING_BYTES = 64 * 1024
"""Of their bodies: with more of them waiting no more is taken."""
OTHER_FILES = 256
"""Files and sockets of the process besides clients: the database's, logs, libraries, and handshakes under way."""
ENOUGH_FILES = 65_536
"""More file descriptors are not asked for: room for handshakes, which no limit of ours counts."""

REFUSED = Counter("wayside_api_connections_refused_total", "Connections closed at once: `api.connections` were open.")
REFUSED_OF_ADDRESS = Counter(
    "wayside_api_address_connections_refused_total",
    "Connections closed at once: `api.connections_per_address` of their address were open.",
)
REQUESTS_CUT = Counter(
    "wayside_api_requests_cut_total",
    "Connections closed within a request, because of its head (late, too large), its body (likewise), what is around"
    " the body (trailers), or too many requests sent ahead (pipelining).",
    ["why"],
)
CUT = Counter("wayside_api_readers_cut_total", "Connections closed because their readers took nothing for too long.")


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, to clients that send a request in time and not without end.

    Neither httptools nor uvicorn bounds either; a client without a key could fill the memory. Nor do they mind a reader
    that has stopped: it would hold whatever its answer is made from.
    """

    max_connections = 1_000
    max_of_address = 250
    proxies: Networks = ()
    send_timeout_s = 60.0
    _full = False
    """Of all connections of the server: each has a class of its own, see `bounded`."""
    _of_address: ClassVar[collections.Counter[str]] = collections.Counter()
    """Open connections; likewise."""
    _address: str | None = None
    """As which the connection is counted there."""
    _head_bytes = 0
    _body: "_Body | None" = None
    """Of the request that is being received, once its head has been."""
    _gone = False
    """Whether the connection was closed on the client: what has arrived meanwhile is not looked at."""
    _deadline: asyncio.TimerHandle | None = None
    _body_deadline: asyncio.TimerHandle | None = None
    _reader_deadline: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None
    _tls: dict[object, object] | None = None
    """What the ASGI extension `tls` says of a client with a certificate."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # There are no routes for WebSockets, and uvicorn would count such connections no more.
        self.ws_protocol_class = None
        if len(self.connections) > self.max_connections:
            REFUSED.inc()
            if not self._full:
                type(self)._full = True
                log.warning("no more connections are taken", open=self.max_connections)
            self._abort()
        elif not self._counted():
            REFUSED_OF_ADDRESS.inc()
            log.debug("no more connections of an address are taken", address=self._address, open=self.max_of_address)
            self._abort()
        else:
            self._tls = tls_of(transport)
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if sum(len(cycle.body) for cycle, _ in self.pipeline) > MAX_WAITING_BYTES:
            self._cut("pipelining")
            return
        within, content = self._body, 0 if self._body is None else self._body.content
        super().data_received(data)
        if self._gone or self.transport.is_closing():
            return
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._cut("head")
        elif self._body is not None:
            self._await_body(self._body, len(data) if within is self._body and within.content == content else 0)
        elif self.cycle.response_complete:
            # Line ends between requests, which the parser passes over: uvicorn waits for no request any more.
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": dict(self._tls)}
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is None:  # else it is a trailer, which nobody here reads (RFC 9110 section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_arrived()
        if self._gone:
            return
        super().on_headers_complete()
        self._body = _Body(self.loop.time())
        if len(self.pipeline) > MAX_WAITING:
            self._cut("pipelining")

    def on_body(self, body: bytes) -> None:
        if self._gone or self._body is None:
            return
        self._body.content += len(body)
        if self._body.content > MAX_BODY_BYTES:
            self._cut("body")
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_arrived()
        if not self._gone:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._body_deadline is not None and self.cycle.response_complete:
            # Answered before all of it came, because it was too large perhaps: nobody waits for the rest for long.
            self._body_deadline.cancel()
            self._body_deadline = self.loop.call_later(BODY_S, self._body_is_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_took_it()
        self._reader_deadline = self.loop.call_later(self.send_timeout_s, self._cut_reader)

    def resume_writing(self) -> None:
        self._reader_took_it()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._body_arrived()
        self._reader_took_it()
        super().connection_lost(exc)
        if self._running is not None:  # of requests sent ahead uvicorn tells the last one only
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        self._uncount()
        if self._full and len(self.connections) < self.max_connections:
            type(self)._full = False
            log.info("connections are taken again")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _counted(self) -> bool:
        """Whether its address may have one more connection; proxies hold those of many clients."""
        if self.client is None or is_within(self.client[0], self.proxies):
            return True
        self._address = network_of(self.client[0])
        self._of_address[self._address] += 1
        return self._of_address[self._address] <= self.max_of_address

    def _uncount(self) -> None:
        if self._address is not None:
            self._of_address[self._address] -= 1
            if self._of_address[self._address] == 0:
                del self._of_address[self._address]

    def _await_head(self) -> None:
        self._head_arrived()
        self._head_bytes = 0
        self._deadline = self.loop.call_later(HEAD_S, self._cut, "head")

    def _head_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _await_body(self, body: "_Body", around: int) -> None:
        """After a read that brought `around` bytes and nothing of the body itself; 0 when it brought some."""
        body.around = body.around + around if around else 0
        if body.around > MAX_HEAD_BYTES:
            self._cut("trailers")
        elif self._body_deadline is None:
            self._body_deadline = self.loop.call_later(BODY_S, self._body_is_late)

    def _body_arrived(self) -> None:
        self._body = None
        if self._body_deadline is not None:
            self._body_deadline.cancel()
            self._body_deadline = None

    def _body_is_late(self) -> None:
        assert self._body is not None, "its deadline goes with it"
        cycle, now_s = self.cycle, self.loop.time()
        if not cycle.response_complete and (self.flow.read_paused or cycle.waiting_for_100_continue):
            # The client waits for us.
            self._body.begun_s = now_s - self._body.content / BODY_BYTES_PER_S
        left_s = self._body.begun_s + self._body.content / BODY_BYTES_PER_S + BODY_S - now_s
        if cycle.response_complete or left_s <= 0:
            self._cut("body")
        else:
            self._body_deadline = self.loop.call_later(left_s, self._body_is_late)

    def _reader_took_it(self) -> None:
        if self._reader_deadline is not None:
            self._reader_deadline.cancel()
            self._reader_deadline = None

    def _cut_reader(self) -> None:
        CUT.inc()
        log.warning("a reader took nothing for too long and was cut", client=self.client, timeout_s=self.send_timeout_s)
        self._abort()

    def _cut(self, why: str) -> None:
        REQUESTS_CUT.labels(why).inc()
        log.debug("a client was cut within its request", client=self.client, why=why)
        self._abort()

    def _abort(self) -> None:
        self._gone = True
        self._head_arrived()
        self._body_arrived()
        self.transport.abort()


@dataclass(slots=True)
class _Body:
    """What has arrived of a request since its head.

    Args:
        begun_s: since when it is waited for, on the loop's clock.
        content: bytes of the body itself.
        around: bytes that were read since there was some of it: sizes of chunks, and trailers.
    """

    begun_s: float
    content: int = 0
    around: int = 0


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
        max_of_address = settings.of_address
        proxies = networks_of(settings.trusted_proxies)
        _of_address: ClassVar[collections.Counter[str]] = collections.Counter()
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


def config_of(app: ASGIApp, **options: Any) -> uvicorn.Config:
    """How uvicorn is set up to serve `app`, wherever that is.

    Args:
        app: what answers.
        options: further ones of uvicorn's.
    """
    # uvicorn would believe anybody on this machine about who asks; `api.trusted_proxies` says whom we do.
    return uvicorn.Config(app, log_level="warning", proxy_headers=False, ws="none", **options)


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
