"""The OpenAPI document: what every route has in common is added here, so that no route can forget it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from wayside_server.domain.access import Permission, required

DeviceName = Annotated[str, Path(description="name of the device")]
MEDIA_TYPE = "application/problem+json"
_REF = {"schema": {"$ref": "#/components/schemas/Problem"}}


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="always `about:blank`: the status says the kind")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="one sentence that names the fix")
    instance: str | None = Field(default=None, description="with 500 only: what the log has of this failure")


def problems(meanings: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route for the errors in `meanings`, by status."""
    return {status: {"description": text, "content": {MEDIA_TYPE: _REF}} for status, text in meanings.items()}


def bytes_of(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route whose answer is no JSON object, in one of `media_types`."""
    return {200: {"content": {media_type: {} for media_type in media_types}}}


class DocumentedApp(FastAPI):
    """A FastAPI application whose OpenAPI document names every error that it answers with; `declared` has its routes.

    Args:
        routers: all its routes.
        options: as FastAPI's.
    """

    def __init__(self, routers: Sequence[APIRouter], **options: Any) -> None:
        super().__init__(**options)
        every = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
        self.declared = [
            (method, route.path, permission)
            for route in every
            if (permission := required(route.endpoint)) is not None
            for method in sorted(route.methods or ())
        ]
        """Method, path and permission of every route."""
        for router in routers:
            self.include_router(router)
        self._documented = [route for route in every if route.include_in_schema]

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            schema = super().openapi()
            components = schema.setdefault("components", {})
            components["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer"},
                "device": {"type": "mutualTLS"},
            }
            models = components.setdefault("schemas", {})
            for left_over in ("HTTPValidationError", "ValidationError"):
                models.pop(left_over, None)
            models["Problem"] = Problem.model_json_schema()
            schema["security"] = [{"key": []}]
            for route in self._documented:
                for operation in schema["paths"][route.path_format].values():
                    _complete(route, operation)
        return self.openapi_schema or {}


def _complete(route: APIRoute, operation: dict[str, Any]) -> None:
    """Adds to `operation` what follows from the declaration of `route`."""
    if required(route.endpoint) is Permission.PUBLIC:
        operation["security"] = []
    if required(route.endpoint) is Permission.DEVICE:
        operation["security"] = [{"device": []}]
    answers = operation["responses"]
    for status, answer in problems(dict(_common(route, operation))).items():
        if str(status) not in answers or status == 422:
            answers[str(status)] = answer


def _common(route: APIRoute, operation: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    places = [(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])]
    if ("query", "cursor") in places:
        yield 400, "The cursor was made for another listing or other filters."
    elif "application/json" in operation.get("requestBody", {}).get("content", {}) or route.body_field is not None:
        yield 400, "The body is not what its content type says, or no text in UTF-8."
    if required(route.endpoint) not in (Permission.PUBLIC, Permission.DEVICE):
        yield 401, "The API key or session is missing, unknown, expired or revoked."
        yield 403, "The caller lacks the permission, or the request comes from a page of another site."
    elif route.methods != {"GET"}:
        yield 403, "The request comes from a page of another site."
    if any(place == "path" for place, _ in places):
        yield 404, "There is no such device, series or dead letter."
    if "requestBody" in operation:
        yield 413, "The body is too large."
    yield 422, "A parameter is unknown or cannot be understood."
    yield 429, "Too many requests came from this address, key or tenant; try again after Retry-After seconds."
    yield 500, "A failure that nobody expected; the log has it under the `instance` of the answer."
    if route.path != "/healthz":
        yield 503, "The database is away; try again after Retry-After seconds."


def query_parameters(app: FastAPI, route: APIRoute) -> list[str] | None:
    """The query parameters that `route` has; None when it is not in the OpenAPI document."""
    if not route.include_in_schema:
        return None
    operations = app.openapi()["paths"][route.path_format].values()
    return [each["name"] for one in operations for each in one.get("parameters", []) if each["in"] == "query"]
