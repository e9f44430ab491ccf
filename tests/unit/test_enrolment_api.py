"""The routes by which people let devices in, on memory."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from wayside_server.api.service import create_app
from wayside_server.app.enrolment import enrolment_routers
from wayside_server.config import ServerSettings
from wayside_server.domain.access import Permission, Principal, Role, Session, permissions_of
from wayside_server.domain.audit import Outcome
from wayside_server.errors import UnauthorizedError
from wayside_server.identity.authority import Authority, create_authority, new_key
from wayside_server.identity.bulk import MAX_IMPORT_BYTES
from wayside_server.identity.issuing import key_der
from wayside_server.identity.office import EnrolmentOffice, open_office
from wayside_server.identity.refusing import Refusal
from wayside_shared.enrolment import claim_code, parse_token
from wayside_testkit.enrolment import HERE, MemoryEnrolment, MemoryTrail, RevokedSerials, certificate_request
from wayside_testkit.identity import MemoryIdentity

TOKENS = "/api/v1/enrolment-tokens"
PENDING = "/api/v1/enrolments/pending"
CLAIMS = "/api/v1/enrolments/claims"
IMPORT = "/api/v1/devices/import"
CSV = {"Content-Type": "text/csv"}


class Roles:
    """An `Access` whose keys are `role@tenant`."""

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        role, _, tenant = bearer.partition("@")
        may = permissions_of(Role[role.upper()])
        if role == "admin" and not tenant:
            return Principal("person:root", "root", None, may | {Permission.INSTALL})
        return Principal(f"person:{role}", role, int(tenant), may)

    async def resume(self, session: str, *, active: bool = True) -> Principal:
        raise UnauthorizedError("no sessions here")

    async def sign_in(self, bearer: str) -> Session:
        raise UnauthorizedError("no sessions here")

    async def redeem(self, link: str) -> Session:
        raise UnauthorizedError("no links here")

    async def sign_out(self, session: str) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Api:
    """The API, and what is behind it."""

    client: httpx.AsyncClient
    store: MemoryEnrolment
    office: EnrolmentOffice
    trail: MemoryTrail
    refusals: MemoryIdentity

    async def send(self, method: str, path: str, who: str = "engineer@1", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {who}"} | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    root, intermediate = create_authority(datetime.now(UTC))
    store, trail, refusals = MemoryEnrolment(), MemoryTrail(), MemoryIdentity()
    office = open_office(
        Authority(root.certificate, intermediate),
        store,
        refusals=refusals,
        revocations=RevokedSerials(),
        trail=trail,
        certificate_days=90,
        now=lambda: datetime.now(UTC),
    )
    nothing: Any = None
    routers = enrolment_routers(office, ServerSettings(), "install {}".format)
    app = create_app(reading=nothing, access=Roles(), live=nothing, routers=routers, devices=office.devices)
    transport = httpx.ASGITransport(app, client=(HERE, 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://wayside.example") as client:
        yield Api(client, store, office, trail, refusals)


async def test_a_token_is_made_listed_and_revoked(api: Api) -> None:
    order = {"prefix": "boiler", "uses": 20, "group": "cellar", "label": "delivery of May", "hours": 48}
    made = await api.send("POST", TOKENS, json=order)
    assert made.status_code == 201
    token = made.json()["token"]
    assert made.json()["install"] == f"install {token}"
    (listed,) = (await api.send("GET", TOKENS)).json()["tokens"]
    assert (listed["prefix"], listed["group"], listed["max_uses"], listed["state"]) == ("boiler-", "cellar", 20, "good")
    assert parse_token(token).secret.hex() not in str(listed)
    assert (await api.send("DELETE", f"{TOKENS}/{listed['id']}")).status_code == 204
    assert (await api.send("GET", TOKENS)).json()["tokens"][0]["state"] == "revoked"
    assert [(act.action, act.actor, act.address) for act in api.trail.acts] == [
        ("token.create", "person:engineer", HERE),
        ("token.revoke", "person:engineer", HERE),
    ]
    assert token not in repr(api.trail.acts)


async def test_without_more_a_token_is_good_once_for_a_day(api: Api) -> None:
    await api.send("POST", TOKENS, json={})
    (listed,) = (await api.send("GET", TOKENS)).json()["tokens"]
    life = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(listed["created_at"])
    assert (listed["max_uses"], life) == (1, timedelta(hours=24))


@pytest.mark.parametrize(
    "order",
    [
        {"name": "boiler/up"},
        {"name": "wayside-server-1"},
        {"name": "boiler-7", "uses": 2},
        {"name": "boiler-7\n"},
        {"prefix": "../x"},
        {"uses": 10_001},
        {"hours": 721},
        {"hours": 0},
        {"group": "é"},
        {"label": "\0"},
        {"tenant_id": 2},
    ],
)
async def test_orders_that_cannot_be_met_are_told(api: Api, order: dict[str, object]) -> None:
    """Row 4, and no field is taken that is not offered."""
    answer = await api.send("POST", TOKENS, json=order)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["detail"]
    assert (await api.send("GET", TOKENS)).json()["tokens"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", TOKENS),
        ("POST", TOKENS),
        ("DELETE", f"{TOKENS}/1"),
        ("GET", PENDING),
        ("POST", CLAIMS),
        ("POST", "/api/v1/enrolments/1/approve"),
        ("POST", "/api/v1/enrolments/1/refuse"),
        ("POST", IMPORT),
    ],
)
@pytest.mark.parametrize("role", ["viewer@1", "operator@1"])
async def test_only_engineers_let_devices_in(api: Api, method: str, path: str, role: str) -> None:
    assert (await api.send(method, path, role, json={})).status_code == 403
    assert (await api.client.request(method, path)).status_code == 401


async def test_another_tenants_token_is_not_there(api: Api) -> None:
    """Row 3: other tenant."""
    await api.store.add_tenant("kiln-works")
    await api.send("POST", TOKENS, "engineer@2", json={})
    (listed,) = (await api.send("GET", TOKENS, "engineer@2")).json()["tokens"]
    assert (await api.send("GET", TOKENS)).json()["tokens"] == []
    assert (await api.send("DELETE", f"{TOKENS}/{listed['id']}")).status_code == 404
    assert (await api.send("GET", TOKENS, "admin")).status_code == 404


async def test_tokens_come_in_pages(api: Api) -> None:
    for _ in range(5):
        await api.send("POST", TOKENS, json={})
    path: str | None = f"{TOKENS}?limit=2"
    seen: list[int] = []
    while path is not None:
        page = (await api.send("GET", path)).json()
        seen += [token["id"] for token in page["tokens"]]
        path = page["next"]
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)


async def test_a_device_is_claimed_by_its_whole_code(api: Api) -> None:
    key = new_key()
    await api.office.claims.ask(certificate_request(key), None, HERE)
    code = claim_code(api.office.authority.fingerprint, key_der(key.public_key()))
    (waiting,) = (await api.send("GET", PENDING)).json()["pending"]
    assert (waiting["kind"], waiting["code_begins"], waiting["address"]) == ("new", code[:4], HERE)
    assert code not in str(waiting)
    approve = f"/api/v1/enrolments/{waiting['id']}/approve"
    assert (await api.send("POST", approve)).status_code == 422
    wrong = await api.send("POST", CLAIMS, json={"code": "AAAA-AAAA-AAAA"})
    assert (wrong.status_code, api.refusals.refusals["claim_code"]) == (404, 1)
    assert api.trail.acts[-1].outcome is Outcome.REFUSED
    right = await api.send("POST", CLAIMS, json={"code": code.lower(), "group": "cellar", "name": "boiler-7"})
    assert (right.status_code, right.json()) == (200, {"device": "boiler-7"})
    assert (await api.send("GET", PENDING)).json()["pending"] == []


async def test_a_waiting_device_is_refused(api: Api) -> None:
    await api.office.claims.ask(certificate_request(), None, HERE)
    (waiting,) = (await api.send("GET", PENDING)).json()["pending"]
    path = f"/api/v1/enrolments/{waiting['id']}/refuse"
    assert (await api.send("POST", path)).status_code == 204
    assert (await api.send("POST", path)).status_code == 404


REFUSED = Refusal("enrolment_token_unknown", "", "device.enrol", "token:None", HERE)
ROWS = "name,group,expires,label\nboiler-1,cellar,,first\nboiler-2,,,\n,,,\n"


async def test_a_file_of_rows_becomes_tokens(api: Api) -> None:
    dry = (await api.send("POST", f"{IMPORT}?dry_run=true", content=ROWS, headers=CSV)).json()
    assert (dry["made"], [row["token"] for row in dry["devices"]]) == (False, [None] * 3)
    done = (await api.send("POST", IMPORT, content=ROWS, headers=CSV)).json()
    assert (done["made"], done["wrong"]) == (True, 0)
    assert [(row["line"], row["name"]) for row in done["devices"]] == [(2, "boiler-1"), (3, "boiler-2"), (4, None)]
    digest = parse_token(done["devices"][0]["token"]).digest
    assert (await api.office.enrolments.enrol(digest, certificate_request(), HERE)).device == "boiler-1"
    assert [act.action for act in api.trail.acts] == ["token.create", "certificate.issue"]
    again = await api.send("POST", IMPORT, content=ROWS, headers=CSV)
    assert (again.status_code, again.json()["errors"][0]["line"]) == (422, 2)


async def test_wrong_rows_stop_all_but_what_is_asked_for(api: Api) -> None:
    lines = [
        '{"name": "boiler-1"}',
        "",
        '{"name": "boiler/2"}',
        '{"name": "boiler-1"}',
        '{"name": 3}',
        '{"nmae": "boiler-3"}',
        "[]",
        "{",
        '{"name": "boiler-4", "expires": "soon"}',
        '{"name": "boiler-5", "expires": "2100-01-01T00:00:00Z"}',
    ]
    headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
    answer = await api.send("POST", IMPORT, content="\n".join(lines), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["line"] for error in answer.json()["errors"]] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (await api.send("GET", TOKENS)).json()["tokens"] == []
    partial = (await api.send("POST", f"{IMPORT}?partial=true", content="\n".join(lines), headers=headers)).json()
    assert (partial["made"], len(partial["devices"]), partial["wrong"]) == (True, 1, 8)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"name\n" + b"x" * MAX_IMPORT_BYTES, "text/csv", 413),
        (b"name\n" * 10_002, "text/csv", 422),
        (b"nome\nboiler-1\n", "text/csv", 422),
        (b"name,name\nx,y\n", "text/csv", 422),
        (b'name\n"boiler', "text/csv", 422),
        (b"name\n\xff\xfe", "text/csv", 422),
        (b"", "text/csv", 422),
        (b"name\nboiler-1,2\n", "text/csv", 422),
        (b"{}", "application/json", 415),
        (b"[" * 100_000, "application/x-ndjson", 422),
    ],
)
async def test_files_that_cannot_be_taken_are_told(api: Api, content: bytes, kind: str, status: int) -> None:
    answer = await api.send("POST", IMPORT, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert re.search(r"[a-z]", answer.json()["detail"])


async def test_refusals_of_strangers_are_audited_at_a_bounded_price(api: Api) -> None:
    for number in range(300):
        address = f"198.51.100.{number % 100}"
        await api.office.desk.refuse(
            replace(REFUSED, address=address, detail=f"the enrolment token is not known: {number}")
        )
    assert api.refusals.refusals == {"enrolment_token_unknown": 300}
    assert len(api.trail.acts) == 60
