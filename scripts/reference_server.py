"""Reference pages on what the server offers to programs: its REST interface and its metrics."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

import wayside_server
from wayside_server.api.schema import DocumentedApp
from wayside_server.api.service import DESCRIPTION
from wayside_server.app import list_age
from wayside_server.app.web import make_app, routers_of
from wayside_server.config import ServerSettings
from wayside_server.domain.access import LEAST_ROLE, Permission, Role
from wayside_server.domain.refusals import MEANINGS

_STATUS_FIXES = {
    "400": "Begin again without `cursor`; for an enrolment, make the request anew.",
    "401": "Send a good key, or a good token.",
    "403": "Ask an admin for the role or a key with the scope; or send it from a page of the server, or a good device.",
    "404": "Look it up in the listing above it.",
    "409": "Choose another name.",
    "410": "Start the enrolment again.",
    "413": "Send less.",
    "415": "Name the form of the body in `Content-Type`.",
    "422": "The detail names the parameter and what it takes.",
    "429": "Wait as long as `Retry-After` says.",
    "500": "Report it with the lines of the log.",
    "503": "Wait as long as `Retry-After` says; the service goes on by itself.",
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def whole() -> DocumentedApp:
    """The whole service; what answers the questions is not needed for what it says of itself."""
    nothing: Any = None
    notes = SimpleNamespace(forbidden=nothing)
    desk: Any = SimpleNamespace(sessions=nothing, keys=nothing, notes=notes, oidc=SimpleNamespace(label=""))
    routers = routers_of(nothing, ServerSettings(), nothing, nothing, nothing, nothing, nothing)
    return make_app(nothing, desk, nothing, routers)


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the whole service."""
    return whole().openapi()


def permissions(note: str) -> str:
    """The page on who may what."""
    routes = sorted(whole().declared, key=lambda route: (route[1], route[0]))
    return "\n".join(
        [
            note,
            "# Permissions\n",
            "Every route declares the permission that it takes; one without is refused at the start. A role has what "
            "the roles before it have. [Manage people](../how-to/manage-people.md) tells how to give them.\n",
            table(("permission", "who has it"), ((f"`{one.value}`", _holders(one)) for one in Permission)),
            "## Routes\n",
            table(
                ("route", "permission"),
                ((f"`{method} {path}`", f"`{permission.value}`") for method, path, permission in routes),
            ),
        ]
    )


def _holders(permission: Permission) -> str:
    role = LEAST_ROLE.get(permission)
    if role is not None:
        roles = ", ".join(one.name.lower() for one in Role if one >= role)
        return f"{roles}; administrators of the installation, in the tenant that they chose; keys with this scope"
    return {
        Permission.PUBLIC: "anybody",
        Permission.METRICS: "administrators of the installation, keys with this scope, addresses of `api.metrics_from`",
        Permission.DEVICE: "devices, by their certificate",
        Permission.SELF: "anybody who is signed in",
        Permission.INSTALL: "administrators of the installation, keys with this scope",
    }[permission]


def rest(note: str) -> str:
    """The page on the REST interface."""
    schema = openapi()
    operations = [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [
        note,
        "# REST\n",
        f"{DESCRIPTION}\n",
        "A parameter that a route does not have is refused, so that a misspelt one is not ignored. Nothing but the "
        "status tells the kind of an error: `type` is always `about:blank`, and `detail` is one sentence that names "
        "the fix. [Read telemetry](../how-to/read-telemetry.md) has examples, `/openapi.json` the same as this page "
        "for programs.\n",
        "## Errors\n",
        table(("status", "when", "what to do"), _errors(operation for _, _, operation in operations)),
    ]
    for tag in dict.fromkeys(operation["tags"][0] for _, _, operation in operations):
        parts.append(f"## {tag[:1].upper()}{tag[1:]}\n")
        for method, path, operation in operations:
            if operation["tags"][0] == tag:
                parts.extend(_operation(method, path, operation))
    parts.append("## Bodies\n")
    for name, model in sorted(schema["components"]["schemas"].items()):
        parts.extend(_model(name, model))
    return "\n".join(parts)


def _errors(operations: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    meanings: dict[str, list[str]] = {}
    for operation in operations:
        for status, answer in operation["responses"].items():
            told = meanings.setdefault(status, [])
            if answer["description"] not in told:
                told.append(answer["description"])
    for status in sorted(meanings):
        if status >= "400":
            yield f"`{status}`", " ".join(meanings[status]), _STATUS_FIXES[status]


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{method} {path}`\n"
    yield (operation.get("description") or f"{operation['summary']}.") + "\n"
    if operation.get("security") == []:
        yield "Needs no key.\n"
    rows = [
        (
            f"`{parameter['name']}`",
            parameter["in"],
            _type(parameter["schema"]),
            _default(parameter),
            parameter.get("description", parameter["schema"].get("description", "")),
        )
        for parameter in operation.get("parameters", [])
    ]
    if rows:
        yield table(("parameter", "in", "type", "default", "meaning"), rows)
    if "requestBody" in operation:
        yield f"Body: {_contents(operation['requestBody'])}.\n"
    good = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for status, answer in good.items():
        yield f"Answers {status} with {_contents(answer)}."
    yield f"Errors: {', '.join(status for status in sorted(operation['responses']) if status >= '400')}.\n"


def _contents(holder: dict[str, Any]) -> str:
    found = holder.get("content", {})
    return " or ".join(
        f"`{media_type}`" + (f": {_type(entry['schema'])}" if entry.get("schema") else "")
        for media_type, entry in found.items()
    )


def _default(parameter: dict[str, Any]) -> str:
    if parameter.get("required"):
        return "required"
    default = parameter["schema"].get("default")
    return "" if default in (None, [], "") else f"`{default}`"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kind = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f", {schema['minimum']} to {schema['maximum']}"
    return f", at most {schema['maxLength']} letters" if "maxLength" in schema else ""


def _model(name: str, model: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if "description" in model:
        yield model["description"] + "\n"
    if "properties" in model:
        rows = [
            (f"`{field}`", _type(entry), entry.get("description", "")) for field, entry in model["properties"].items()
        ]
        yield table(("field", "type", "meaning"), rows)
    else:
        yield f"One of {_type(model)}.\n"


def metrics(note: str) -> str:
    """The page on the metrics."""
    rows = []
    for metric in sorted(every_metric(), key=lambda metric: metric._name):
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append((f"`{_exposed(metric)}`", metric._type, labels, metric._documentation))
    rows = sorted([*rows, (f"`{list_age.NAME}`", "gauge", "", list_age.MEANING)])
    intro = (
        "# Metrics\n\nThe server shows them at `/metrics` in Prometheus' format, to API keys and to the addresses in "
        "`api.metrics_from`. Counters begin at 0 when the server starts. A histogram `x` is shown as `x_bucket`, "
        "`x_sum` and `x_count`.\n"
    )
    return "\n".join(
        [
            note,
            intro,
            table(("metric", "type", "labels", "meaning"), rows),
            "`channel` is the part of the topic behind the device's name. `kind` of what was refused is one of the "
            "kinds below, of incidents what `/api/v1/incidents` shows.\n",
            "## Kinds of refusals\n",
            "The same in `/api/v1/refusals` and on the console's page Refused, where they are counted by day and "
            "outlive a restart.\n",
            table(("kind", "meaning"), ((f"`{kind}`", meaning) for kind, meaning in MEANINGS.items())),
        ]
    )


def every_metric() -> list[MetricWrapperBase]:
    """Every metric that a module of the server makes."""
    for found in pkgutil.walk_packages(wayside_server.__path__, "wayside_server."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    modules = [module for name, module in sys.modules.items() if name.startswith("wayside_server.")]
    made = {
        metric._name: metric
        for module in modules
        for _, metric in inspect.getmembers(module, lambda value: isinstance(value, MetricWrapperBase))
    }
    return list(made.values())


def _exposed(metric: MetricWrapperBase) -> str:
    return metric._name + ("_total" if metric._type == "counter" else "")
