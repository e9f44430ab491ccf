"""The web service: REST v1 and whatever routers it is given, behind one gate."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wayside_server.api.devices import devices_router
from wayside_server.api.gate import make_gate, refuse_unknown_parameters, undeclared_routes
from wayside_server.api.health import health_router
from wayside_server.api.live import live_router
from wayside_server.api.problems import install_problems
from wayside_server.api.schema import DocumentedApp
from wayside_server.api.telemetry import telemetry_router
from wayside_server.api.watch import watch_router
from wayside_server.domain.access import Access, Permission, requires
from wayside_server.domain.live import Live
from wayside_server.domain.reading import Reading

DESCRIPTION = (
    "Telemetry that accounts for every sample. Send `Authorization: Bearer <API key>`; errors are "
    "`application/problem+json`; lists end only where `next` is null."
)
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Under no-referrer browsers send `Origin: null` with forms, which the gate could not tell from a foreign page.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age=31536000",
}


def create_app(
    *,
    reading: Reading,
    access: Access,
    live: Live,
    routers: Sequence[APIRouter] = (),
    static: Path | None = None,
    metrics_hosts: Collection[str] = (),
    registry: CollectorRegistry = REGISTRY,
) -> FastAPI:
    """The ASGI application. Its lifespan runs `live`.

    Args:
        reading: answers questions about telemetry.
        access: establishes who asks.
        live: tells of new samples.
        routers: more routes, of enrolment and of the console; each declares its permission with `requires`.
        static: folder served to anybody below /static.
        metrics_hosts: addresses that may read /metrics without a key.
        registry: the metrics to show.

    Raises:
        RuntimeError: a route declares no permission.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(live.run())
            yield
            listening.cancel()

    own = [devices_router(reading), telemetry_router(reading), live_router(reading, live), watch_router(reading)]
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
        dependencies=[Depends(make_gate(access, metrics_hosts)), Depends(refuse_unknown_parameters)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would take its host from whoever asks.
        redirect_slashes=False,
    )
    if static is not None:
        app.mount("/static", StaticFiles(directory=static, check_dir=False))
    install_problems(app)
    app.add_middleware(SecurityHeaders)
    return app


def _schema_router() -> APIRouter:
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False)
    @requires(Permission.READ)
    async def openapi(request: Request) -> Response:
        app: FastAPI = request.app
        return JSONResponse(app.openapi())

    return router


class SecurityHeaders:
    """Adds the headers that every answer carries; what holds data is not cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
        cached = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = [*headers, (b"cache-control", cached)]
                message["headers"] = [*message["headers"], *((n, v) for n, v in more if n not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)
