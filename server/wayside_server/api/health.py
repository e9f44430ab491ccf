"""Whether the server lives, whether it can work, and what it counts."""

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from wayside_server.api.schema import bytes_of
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.reading import Reading


def health_router(reading: Reading, registry: CollectorRegistry) -> APIRouter:
    """The routes /healthz, /readyz and /metrics."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    @requires(Permission.PUBLIC)
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    @requires(Permission.PUBLIC)
    async def readyz() -> dict[str, str]:
        """The database is there and its schema is current; 503 with the reason otherwise."""
        await reading.check()
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response, responses=bytes_of("text/plain"))
    @requires(Permission.METRICS)
    async def metrics() -> Response:
        """Prometheus metrics of every role of this server."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
