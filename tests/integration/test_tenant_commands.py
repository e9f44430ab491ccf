"""Tenants as administrators meet them: at the terminal, and over the API."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from bench.server_side import Installation
from wayside_server.api.service import create_app
from wayside_server.api.tenants import tenants_router
from wayside_server.domain.access import Permission, Principal, Session
from wayside_server.domain.tenants import NAME_RULE
from wayside_server.errors import UnauthorizedError
from wayside_server.identity.tenants import Tenants
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_server.storage.tenants import PostgresTenants
from wayside_testkit.audit import MemoryTrail


@pytest.fixture
def home(database: str) -> Iterator[Path]:
    """The folder of an installation on `database`."""
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        made = Installation(Path(folder))
        settings = made.home.path / "server.toml"
        url = psycopg.conninfo.make_conninfo(database).replace("\\", "\\\\").replace('"', '\\"')
        settings.write_text(f'{settings.read_text()}\n[database]\nurl = "{url}"\n')
        yield made.home.path


def _type(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wayside_server", "tenant", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_tenant_at_the_terminal(home: Path, database: str) -> None:
    made = _type(home, "create", "north", "--title", "North plant", "--max-devices", "20")
    told_of = "tenant north is made: up to 20 devices, series without limit, samples without limit\n"
    assert (made.returncode, made.stdout) == (0, told_of)
    listed = _type(home, "list").stdout.splitlines()
    assert listed == [
        "default  Default  devices 0, series 0, samples 0",
        "north  North plant  devices 0 of 20, series 0, samples 0",
    ]
    again = _type(home, "create", "north")
    assert (again.returncode, again.stderr) == (
        78,
        "wayside-server: there is a tenant 'north' already; choose another name\n",
    )
    limited = _type(home, "limit", "north", "--max-series", "5000")
    told_of = "tenant north may have devices without limit, up to 5,000 series, samples without limit\n"
    assert (limited.returncode, limited.stdout) == (0, told_of)
    assert "north  North plant  devices 0, series 0 of 5,000, samples 0" in _type(home, "list").stdout
    kept = _type(home, "delete", "north")
    assert (kept.returncode, kept.stderr) == (
        78,
        "wayside-server: nobody can be asked here; add --yes to delete tenant north without a question\n",
    )
    assert "north" in _type(home, "list").stdout
    gone = _type(home, "delete", "north", "--yes")
    assert (gone.stdout, gone.stderr) == ("tenant north is deleted, 1 row; none is left\n", "")
    assert "there is no tenant 'north'" in _type(home, "delete", "north").stderr
    with psycopg.connect(database) as conn:
        told = conn.execute("SELECT action FROM audit_entry WHERE subject = 'tenant:north' ORDER BY id").fetchall()
    assert [action for (action,) in told] == ["tenant.create", "tenant.limit", "tenant.delete", "tenant.deleted"]


def test_a_tenant_is_deleted_by_who_types_its_name(home: Path) -> None:
    _type(home, "create", "north", "--title", "North plant")
    said = _at_a_terminal(home, b"south\n", "delete", "north")
    assert "This deletes tenant north (North plant) for good, with its keys, tokens and all it has: 0 devices" in said
    assert "that is not its name; nothing was deleted" in said
    said = _at_a_terminal(home, b"north\n", "delete", "north")
    assert "\rtenant: 1 rows\x1b[K" in said
    assert "tenant north is deleted, 1 row; none is left" in said


def _at_a_terminal(home: Path, keys: bytes, *words: str) -> str:
    """What a terminal shows of a command whose question is answered with `keys`."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "wayside_server", "tenant", *words, "--home", str(home)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        os.write(ours, keys)
        shown = b""
        with suppress(OSError):  # EIO: what Linux says when the other end is closed
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    return shown.decode()


class Installer:
    """`Access` for one who administers the installation, whatever is sent, and acts within no tenant."""

    def __init__(self, *permissions: Permission) -> None:
        self._principal = Principal("person:ada", "Ada", None, frozenset(permissions))

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        if bearer != "good":
            raise UnauthorizedError("no")
        return self._principal

    async def resume(self, session: str) -> Principal:
        raise UnauthorizedError("no")

    async def sign_in(self, bearer: str) -> Session:
        raise UnauthorizedError("no")

    async def redeem(self, link: str) -> Session:
        raise UnauthorizedError("no")

    async def sign_out(self, session: str) -> None:
        return


@pytest.fixture
def trail() -> MemoryTrail:
    return MemoryTrail()


@pytest.fixture
async def client(
    request: pytest.FixtureRequest, pool: Pool, database: str, trail: MemoryTrail
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        reading=PostgresReading(pool, database),
        access=Installer(*getattr(request, "param", [Permission.INSTALL, Permission.READ])),
        live=PostgresLive(database),
        routers=[tenants_router(Tenants(PostgresTenants(pool), trail))],
    )
    headers = {"Authorization": "Bearer good"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://wayside", headers=headers) as opened:
        yield opened


async def test_a_tenant_over_the_api(client: httpx.AsyncClient, trail: MemoryTrail) -> None:
    wanted = {"name": "north", "title": "North plant", "max_samples": 10_000_000_000}
    made = await client.post("/api/v1/tenants", json=wanted)
    assert made.status_code == 201
    assert made.json()["usage"]["samples"] == {"used": 0, "most": 10_000_000_000}
    assert [(act.actor, act.action, act.subject) for act in trail.acts] == [
        ("person:ada", "tenant.create", "tenant:north")
    ]
    listed = (await client.get("/api/v1/tenants")).json()["tenants"]
    assert [tenant["name"] for tenant in listed] == ["default", "north"]
    assert (await client.post("/api/v1/tenants", json=wanted)).status_code == 409
    for bad in ({"name": "N"}, {"title": ""}, {"title": "a\nb"}, {"max_devices": -1}, {"id": 7}):
        answer = await client.post("/api/v1/tenants", json={**wanted, "name": "south", **bad})
        assert answer.status_code == 422, bad
        assert answer.headers["content-type"] == "application/problem+json"
        if bad == {"name": "N"}:
            assert answer.json()["detail"] == f"name: {NAME_RULE}"
    # Within no tenant there is nothing of one.
    assert (await client.get("/api/v1/usage")).status_code == 404
    assert (await client.get("/api/v1/devices")).json()["devices"] == []


@pytest.mark.parametrize("client", [[Permission.READ, Permission.ADMINISTER]], indirect=True)
async def test_an_administrator_of_a_tenant_makes_none(client: httpx.AsyncClient, trail: MemoryTrail) -> None:
    """Row 16."""
    wanted = {"name": "north", "title": "North plant"}
    assert (await client.post("/api/v1/tenants", json=wanted)).status_code == 403
    assert (await client.get("/api/v1/tenants")).status_code == 403
    assert trail.acts == []
