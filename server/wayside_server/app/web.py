"""The API role's parts, joined: REST, console and enrolment over HTTPS."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from wayside_server.api import enrolment
from wayside_server.api.service import create_app
from wayside_server.app import MULTIPROCESS_DIR, Storage, utc_now
from wayside_server.app.connections import BoundedServer, allow_files, bounded
from wayside_server.app.site import site_of
from wayside_server.config import ServerSettings
from wayside_server.console.pages import STATIC, console_router
from wayside_server.console.render import error_page
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home
from wayside_server.identity.installation import load_authority
from wayside_server.packages.routes import packages_router
from wayside_server.packages.shelf import Shelf
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading

log = structlog.get_logger(__name__)

GRACE_S = 5
"""A stop waits this long for open answers; streams to browsers never end by themselves."""
TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only. TLS 1.3 has its own list, which has nothing else."""


async def serve(home: Home, settings: ServerSettings, storage: Storage) -> None:
    """Answer until cancelled; 503 while the database is away."""
    authority = load_authority(home)
    broker = enrolment.BrokerAddress(host=settings.broker.public_host, port=settings.broker.port)
    router = enrolment.enrolment_router(
        storage.enrolments(home, settings), authority, storage.identity, broker, utc_now
    )
    reading, keys = PostgresReading(storage.pool, storage.conninfo), storage.keys()
    web = create_app(
        reading=reading,
        access=keys,
        live=PostgresLive(storage.pool, storage.conninfo),
        routers=[
            router,
            console_router(reading, keys),
            packages_router(Shelf(home), lambda: site_of(home, settings)),
        ],
        static=STATIC,
        metrics_hosts=settings.api.metrics_from,
        registry=_every_role(),
        error_page=error_page,
    )
    await _serve(web, home, settings)


def _every_role() -> CollectorRegistry:
    """The metrics of every role under one `run`; of this process alone when it runs by itself."""
    if MULTIPROCESS_DIR not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


async def _serve(web: FastAPI, home: Home, settings: ServerSettings) -> None:
    allow_files(settings.api.connections)
    config = uvicorn.Config(
        web,
        ssl_certfile=home.certificate("api"),
        ssl_keyfile=home.key("api"),
        ssl_ciphers=TLS_1_2_CIPHERS,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    assert config.ssl is not None, "certificate and key are given"
    # TLS 1.2 as well as 1.3: some managed desktops and older boards' HTTP stacks have no 1.3, and 1.2 with the ciphers
    # above is sound. The broker, whose clients are all ours, takes 1.3 only.
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        listening = socket.create_server((settings.api.host, settings.api.port), backlog=512)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.api.host}:{settings.api.port}: {error.strerror}") from error
    server = _Server(config, bounded(settings.api))
    serving = asyncio.get_running_loop().create_task(server.serve([listening]))
    log.info("serving", url=f"https://{settings.api.public_host}:{settings.api.port}")
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


class _Server(BoundedServer):
    """Leaves the signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, without the signals."""
        yield
