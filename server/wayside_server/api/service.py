"""The web service: REST v1 and whatever routers it is given, behind one gate."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import REGISTRY, CollectorRegistry

from wayside_server.api.admission import Admission
from wayside_server.api.devices import devices_router
from wayside_server.api.gate import make_gate, make_recognise, refuse_unknown_parameters, undeclared_routes
from wayside_server.api.health import health_router
from wayside_server.api.limits import limits_router
from wayside_server.api.live import live_router
from wayside_server.api.middleware import HeadAsGet, Mishaps, SecurityHeaders
from wayside_server.api.problems import ErrorPage, install_problems
from wayside_server.api.proxies import ForwardedFor
from wayside_server.api.schema import DocumentedApp
from wayside_server.api.telemetry import telemetry_router
from wayside_server.api.tenants import usage_router
from wayside_server.api.watch import watch_router
from wayside_server.domain.access import Access, DeviceAccess, Forbidden, Permission, requires
from wayside_server.domain.addresses import Networks
from wayside_server.domain.live import Live
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.domain.reading import Reading

DESCRIPTION = (
    "Telemetry that accounts for every sample. Send `Authorization: Bearer <API key>`; errors are "
    "`application/problem+json`; lists end only where `next` is null."
)


def create_app(
    *,
    reading: Reading,
    access: Access,
    live: Live,
    routers: Sequence[APIRouter] = (),
    static: Path | None = None,
    metrics_hosts: Collection[str] = (),
    registry: CollectorRegistry = REGISTRY,
    error_page: ErrorPage | None = None,
    rates: Rates | None = None,
    devices: DeviceAccess | None = None,
    proxies: Networks = (),
    forbidden: Forbidden | None = None,
) -> DocumentedApp:
    """The ASGI application. Its lifespan runs `live`.

    Args:
        reading: answers questions about telemetry, each tenant's its own.
        access: establishes who asks.
        live: tells that there are new samples.
        routers: more routes, of enrolment and of the console; each declares its permission with `requires`.
        static: folder served to anybody below /static.
        metrics_hosts: addresses that may read /metrics without a key.
        registry: the metrics to show.
        error_page: what a browser is shown outside the API when something fails; None for the problem itself.
        rates: how often each may ask; those of the default settings when None.
        devices: establishes devices by their certificates; None lets none in.
        proxies: those whose word on who asks is taken.
        forbidden: notes who has not the permission of a route; None notes nobody.

    Raises:
        RuntimeError: a route declares no permission.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(live.run())
            yield
            listening.cancel()

    rates = rates or Rates(RateLimits(), time.monotonic)
    own = [
        devices_router(reading),
        telemetry_router(reading),
        live_router(reading, live),
        watch_router(reading),
        limits_router(rates),
        usage_router(reading),
    ]
    every = [*own, health_router(reading, registry), _schema_router(), *routers]
    undeclared = undeclared_routes(every)
    if undeclared:
        raise RuntimeError(f"routes without a declared permission: {', '.join(undeclared)}")
    app = DocumentedApp(
        every,
        title="Wayside",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        dependencies=[
            Depends(make_gate(access, metrics_hosts, rates, devices, forbidden)),
            Depends(refuse_unknown_parameters),
        ],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would take its host from whoever asks.
        redirect_slashes=False,
    )
    if static is not None:
        app.mount("/static", StaticFiles(directory=static, check_dir=False))
    install_problems(app, error_page, make_recognise(access))
    # The last one is the outermost.
    app.add_middleware(Admission, rates=rates)
    app.add_middleware(ForwardedFor, proxies=proxies)
    for around in (Mishaps, HeadAsGet, SecurityHeaders):
        app.add_middleware(around)
    return app


def _schema_router() -> APIRouter:
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False)
    @requires(Permission.READ)
    async def openapi(request: Request) -> Response:
        app: FastAPI = request.app
        return JSONResponse(app.openapi())

    return router
