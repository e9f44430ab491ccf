"""The API role's parts, joined: REST, console and enrolment over HTTPS."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from wayside_server.api.api_keys import api_keys_router
from wayside_server.api.audit import audit_router
from wayside_server.api.certificates import certificates_router
from wayside_server.api.schema import DocumentedApp
from wayside_server.api.service import create_app
from wayside_server.api.telemetry import MAX_EXPORTS
from wayside_server.api.tenants import tenants_router
from wayside_server.app import MULTIPROCESS_DIR, Storage, utc_now
from wayside_server.app.audit import damped
from wayside_server.app.client_names import ask_for_certificates
from wayside_server.app.connections import BoundedServer, allow_files, bounded, config_of
from wayside_server.app.enrolment import enrolment_routers
from wayside_server.app.list_age import ListAge
from wayside_server.app.people import desk_on
from wayside_server.app.site import site_of
from wayside_server.config import ApiSettings, ServerSettings
from wayside_server.console.audit import audit_pages
from wayside_server.console.enrolling import enrolling_router
from wayside_server.console.identities import identities_router
from wayside_server.console.pages import STATIC, console_router
from wayside_server.console.render import error_page
from wayside_server.domain.access import DeviceAccess
from wayside_server.domain.addresses import Networks, networks_of
from wayside_server.domain.audit import AuditReading
from wayside_server.domain.certificates import Certificates
from wayside_server.domain.live import Live
from wayside_server.domain.rates import Rates
from wayside_server.domain.reading import Reading
from wayside_server.errors import ConfigError
from wayside_server.identity.audit import DampedTrail
from wayside_server.identity.authority import Authority
from wayside_server.identity.desk import Desk
from wayside_server.identity.home import Home
from wayside_server.identity.install_line import line_for
from wayside_server.identity.installation import load_authority
from wayside_server.identity.office import EnrolmentOffice, open_office
from wayside_server.identity.publication import ListWatch
from wayside_server.identity.revocation import Revocations
from wayside_server.identity.tenants import Tenants
from wayside_server.packages.routes import packages_router
from wayside_server.packages.shelf import FETCH, Shelf
from wayside_server.storage.audit import PostgresAudit
from wayside_server.storage.certificates import PostgresCertificates
from wayside_server.storage.database import new_pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.revocation import PostgresRevocations
from wayside_server.storage.roles import AS_APP

log = structlog.get_logger(__name__)

AUDIT_CONNECTIONS = 2
"""Entries stand in line for one lock anyway."""
AUDIT_READERS = 3
"""Whoever looks through the audit log holds up nobody who enters something, and exports leave one for the pages."""
AUDIT_READING = "-c statement_timeout=10s -c default_transaction_read_only=on"
"""As long as a page may take; nobody waits for an answer longer."""
READERS = 4
"""Connections for reading besides those of exports, which hold theirs for as long as they run."""
GRACE_S = 5
"""A stop waits this long for open answers; streams to browsers never end by themselves."""
TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only. TLS 1.3 has its own list, which has nothing else."""


async def serve(home: Home, settings: ServerSettings, storage: Storage) -> None:
    """Answer until cancelled; 503 while the database is away."""
    authority = load_authority(home)
    # What is done holds one connection while it is entered: out of one pool, all of them could wait for one more.
    async with (
        new_pool(storage.conninfo, max_size=AUDIT_CONNECTIONS) as auditing,
        new_pool(storage.conninfo, max_size=AUDIT_READERS, options=AUDIT_READING) as reading,
        damped(PostgresAudit(auditing, utc_now)) as trail,
    ):
        await _serve_audited(home, settings, storage, authority, trail, PostgresAudit(reading, utc_now))


async def _serve_audited(
    home: Home,
    settings: ServerSettings,
    storage: Storage,
    authority: Authority,
    trail: DampedTrail,
    audit: PostgresAudit,
) -> None:
    marks = PostgresRevocations(storage.pool, storage.conninfo)
    office = open_office(
        authority,
        storage.enrolment,
        refusals=storage.identity,
        revocations=marks,
        trail=trail,
        certificate_days=settings.enrolment.certificate_days,
        now=utc_now,
    )
    certificates = PostgresCertificates(storage.pool)
    revocations = Revocations(marks, trail, utc_now)
    watch, registry = ListWatch(home, utc_now), _every_role()
    registry.register(ListAge(watch, utc_now))
    shelf = Shelf(home)
    install = partial(_install_line, shelf, line_for(home, settings.api.url, own_ca=settings.api.public_url is None))
    # Who asks is established before it is known for which tenant, so identity has connections of its own.
    async with new_pool(storage.reading, max_size=MAX_EXPORTS + READERS, options=AS_APP) as answering:
        web = make_app(
            PostgresReading(answering, storage.reading, storage.pool),
            desk_on(home, settings, storage, trail),
            PostgresLive(storage.reading),
            [
                *routers_of(office, settings, install, storage.tenants(), audit, certificates, revocations),
                packages_router(shelf, lambda: site_of(home, settings)),
            ],
            metrics_hosts=settings.api.metrics_from,
            registry=registry,
            rates=Rates(settings.rates, time.monotonic),
            devices=office.devices,
            proxies=networks_of(settings.api.trusted_proxies),
        )
        web.state.warnings = lambda: [complaint for complaint in [watch.complaint()] if complaint is not None]
        await _serve(web, home, settings)


def _install_line(shelf: Shelf, line: Callable[[str], str], token: str) -> str:
    """What to type on a board; a comment before it says so when that would find nothing to install."""
    missing = "" if shelf.manifest() else f"# first, on the server, which has nothing to install yet: {FETCH}\n"
    return missing + line(token)


def routers_of(
    office: EnrolmentOffice,
    settings: ServerSettings,
    install: Callable[[str], str],
    tenants: Tenants,
    audit: AuditReading,
    certificates: Certificates,
    revocations: Revocations,
) -> list[APIRouter]:
    """The routes of devices' identity, of tenants and of the audit log, for API and console."""
    return [
        *enrolment_routers(office, settings, install),
        tenants_router(tenants),
        audit_router(audit),
        audit_pages(audit),
        certificates_router(certificates, revocations),
        identities_router(certificates, revocations),
        enrolling_router(office, install),
    ]


def make_app(
    reading: Reading,
    desk: Desk,
    live: Live,
    routers: Sequence[APIRouter],
    *,
    metrics_hosts: Collection[str] = (),
    registry: CollectorRegistry = REGISTRY,
    rates: Rates | None = None,
    devices: DeviceAccess | None = None,
    proxies: Networks = (),
) -> DocumentedApp:
    """The whole service, as it is served.

    Args:
        reading: answers questions about telemetry.
        desk: lets people and programs in.
        live: tells of new samples.
        routers: more routes than those of API and console.
        metrics_hosts: addresses that may read the metrics without a key.
        registry: the metrics to show.
        rates: how often each may ask; those of the default settings when None.
        devices: establishes devices by their certificates; None lets none in.
        proxies: those whose word on who asks is taken.
    """
    return create_app(
        reading=reading,
        access=desk.sessions,
        live=live,
        routers=[*routers, api_keys_router(desk.keys), console_router(reading, desk)],
        static=STATIC,
        metrics_hosts=metrics_hosts,
        registry=registry,
        error_page=error_page,
        rates=rates,
        devices=devices,
        proxies=proxies,
        forbidden=desk.notes.forbidden,
    )


def _every_role() -> CollectorRegistry:
    """The metrics of every role under one `run`; of this process alone when it runs by itself."""
    registry = CollectorRegistry()
    if MULTIPROCESS_DIR in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    return registry


def warn_of_proxies(settings: ApiSettings) -> None:
    """Says so when there is a proxy that is not trusted."""
    if settings.public_url is not None and not settings.trusted_proxies:
        log.warning(
            "no proxy is trusted, so all who come through one count as one address; name it in api.trusted_proxies",
            public_url=settings.public_url,
        )


async def _serve(web: FastAPI, home: Home, settings: ServerSettings) -> None:
    allow_files(settings.api.connections)
    config = config_of(
        web,
        ssl_certfile=home.certificate("api"),
        ssl_keyfile=home.key("api"),
        ssl_ciphers=TLS_1_2_CIPHERS,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    assert config.ssl is not None, "certificate and key are given"
    # TLS 1.2 as well as 1.3: some managed desktops and older boards' HTTP stacks have no 1.3, and 1.2 with the ciphers
    # above is sound. The broker, whose clients are all ours, takes 1.3 only.
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    ask_for_certificates(config.ssl, home.ca_file)
    try:
        listening = socket.create_server((settings.api.host, settings.api.port), backlog=512)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.api.host}:{settings.api.port}: {error.strerror}") from error
    warn_of_proxies(settings.api)
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
