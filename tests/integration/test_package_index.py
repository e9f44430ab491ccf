"""What boards ask the server for when they install, over real HTTP, and pip as the one who asks."""

import asyncio
import hashlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from wayside_server.api.service import create_app
from wayside_server.identity.home import Home
from wayside_server.packages.installer import Site
from wayside_server.packages.routes import packages_router
from wayside_server.packages.shelf import Shelf
from wayside_testkit.packages import fill
from wayside_testkit.web import serve

SITE = Site("https://server.example:8443", "https://server.example:8443", "root\n")


class NoLive:
    async def run(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with packages; nothing else of it answers."""
    nothing: Any = None
    live: Any = NoLive()
    router = packages_router(Shelf(Home(tmp_path)), lambda: SITE)
    app = create_app(reading=nothing, access=nothing, live=live, routers=[router], registry=CollectorRegistry())
    async with serve(app) as base:
        yield base


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


async def test_the_script_says_what_to_do_on_a_server_without_packages(client: httpx.AsyncClient) -> None:
    answer = await client.get("/install.sh")
    assert answer.status_code == 200
    assert "wayside-server packages fetch" in answer.text
    assert "main" not in answer.text
    assert (await client.get("/simple/")).status_code == 404


async def test_anybody_gets_the_script_and_the_requirements(client: httpx.AsyncClient, tmp_path: Path) -> None:
    fill(tmp_path)
    script = await client.get("/install.sh")
    assert script.headers["content-type"].startswith("text/plain")
    assert "SERVER=https://server.example:8443\n" in script.text
    release = await client.get("/install/release")
    assert "version=0.1.0\n" in release.text
    assert "wayside==0.1.0 \\\n    --hash=sha256:" in (await client.get("/install/edge.txt")).text
    for name in ("manifest.json", ".lock", "compute.txt", "files", "%2e%2e%2fserver.toml"):
        assert (await client.get(f"/install/{name}")).status_code == 404, name


async def test_the_index_names_every_file_with_its_hash(client: httpx.AsyncClient, tmp_path: Path) -> None:
    shelf = fill(tmp_path)
    assert re.findall(r'href="([^"]+)"', (await client.get("/simple/")).text) == ["pip/", "wayside/"]
    page = (await client.get("/simple/wayside/")).text
    ((name, sha256, metadata),) = re.findall(r'href="(.+)#sha256=(\w+)" data-core-metadata="sha256=(\w+)"', page)
    wheel = await client.get(f"/simple/wayside/{name}")
    assert hashlib.sha256(wheel.content).hexdigest() == sha256
    assert wheel.headers["content-type"] == "application/zip"
    assert wheel.content == (shelf.files / name).read_bytes()
    assert hashlib.sha256((await client.get(f"/simple/wayside/{name}.metadata")).content).hexdigest() == metadata
    assert (await client.get("/simple/other/")).status_code == 404
    assert (await client.get(f"/simple/pip/{name}")).status_code == 404


async def test_files_come_in_parts_and_not_twice(client: httpx.AsyncClient, tmp_path: Path) -> None:
    fill(tmp_path)
    path = "/simple/pip/pip-1.0-py3-none-any.whl"
    whole = await client.get(path)
    part = await client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    known = await client.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    assert "last-modified" in whole.headers
    other = await client.get(path, headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/simple/pip/../../manifest.json",
        "/simple/pip/..%2f..%2fmanifest.json",
        "/simple/pip/%2e%2e/%2e%2e/manifest.json",
        "/simple/pip/....//manifest.json",
        "/simple/pip/%2fetc%2fpasswd",
        "/simple/..%2f/manifest.json",
        "/simple/pip/pip-1.0-py3-none-any.whl%00",
        "/simple/pip/pip-1.0-py3-none-any.whl.metadata.metadata",
        "/simple/pip/not-in-the-manifest.whl",
        "/simple/pip/" + "a" * 5000,
    ],
)
async def test_nothing_else_can_be_read(url: str, tmp_path: Path, path: str) -> None:
    shelf = fill(tmp_path)
    (shelf.files / "not-in-the-manifest.whl").write_bytes(b"secret")
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # Clients tidy paths; whoever attacks does not.
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert int(answer.split()[1]) in (400, 404, 422)
    assert b"secret" not in answer
    assert b"targets" not in answer


async def test_a_file_that_is_gone_is_said_to_be(client: httpx.AsyncClient, tmp_path: Path) -> None:
    shelf = fill(tmp_path)
    (shelf.files / "pip-1.0-py3-none-any.whl").unlink()
    answer = await client.get("/simple/pip/pip-1.0-py3-none-any.whl")
    assert answer.status_code == 404
    assert "packages fetch" in answer.json()["detail"]


async def test_pip_installs_from_the_index_by_hash(url: str, tmp_path: Path) -> None:
    shelf = fill(tmp_path)
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "install",
        "-q",
        "--no-deps",
        "--require-hashes",
        "--no-cache-dir",
    ]
    command += [
        "--index-url",
        f"{url}/simple/",
        "--target",
        str(tmp_path / "there"),
        "-r",
        str(tmp_path / "wanted.txt"),
    ]
    (own,) = (file for file in shelf.filled().files if file.project == "wayside")
    for digest, status in ((own.sha256, 0), ("0" * 64, 1)):
        (tmp_path / "wanted.txt").write_text(f"wayside==0.1.0 --hash=sha256:{digest}\n")
        process = await asyncio.create_subprocess_exec(
            *command, stderr=subprocess.DEVNULL, env={"PIP_CONFIG_FILE": "/dev/null", "PATH": "/usr/bin:/bin"}
        )
        assert await process.wait() == status
    assert (tmp_path / "there" / "wayside_edge" / "__init__.py").exists()
