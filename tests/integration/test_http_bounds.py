"""What a client without a key may cost: the head of a request is bounded in size and in time."""

import asyncio
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs

from wayside_server.app import connections
from wayside_server.config import ApiSettings
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install
from wayside_testkit.broker import free_port


async def hello(scope: dict[str, object], _receive: object, send: object) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    chosen = free_port()
    config = uvicorn.Config(hello, port=chosen, http=connections.BoundedHttp, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn gives no event
            await asyncio.sleep(0.01)
    yield chosen
    server.should_exit = True
    await serving


async def test_an_endless_header_is_cut_off(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
    sent = 0
    with suppress(OSError):
        while sent < 8 * connections.MAX_HEAD_BYTES:
            writer.write(b"x" * 16_384)
            await writer.drain()
            sent += 16_384
            await asyncio.sleep(0.01)
    assert sent < 8 * connections.MAX_HEAD_BYTES
    writer.close()


async def test_a_head_that_never_ends_is_given_up(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(10):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_usual_requests_on_one_connection_are_answered(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"ok"
        await asyncio.sleep(0.7)
    writer.close()


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


async def closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


@asynccontextmanager
async def serving(settings: ApiSettings, **options: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(hello, lifespan="off", log_level="critical", **options)
    config.load()
    server = connections.BoundedServer(config, connections.bounded(settings))
    with listening() as opened:
        running = asyncio.create_task(server.serve([opened]))
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn gives no event
                await asyncio.sleep(0.01)
        yield opened.getsockname()[1]
        server.should_exit = True
        await running


async def test_connections_beyond_the_limit_are_closed_at_once_and_taken_again_later() -> None:
    before = connections.REFUSED._value.get()  # type: ignore[attr-defined]
    with capture_logs() as lines:
        async with serving(ApiSettings(connections=10)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await closed(reader)
                writer.close()
            for _, writer in held:
                writer.close()
                await writer.wait_closed()
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                with suppress(ConnectionResetError):
                    if (await reader.read()).endswith(b"ok"):
                        break
            writer.close()
    assert connections.REFUSED._value.get() >= before + 3  # type: ignore[attr-defined]
    assert [line["event"] for line in lines] == ["no more connections are taken", "connections are taken again"]


async def test_a_handshake_that_is_not_finished_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    home = Home(tmp_path)
    install(home, ["localhost"], datetime.now(UTC))
    async with serving(ApiSettings(), ssl_certfile=home.certificate("api"), ssl_keyfile=home.key("api")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await closed(reader)
        writer.close()


def test_a_limit_of_files_that_is_too_low_is_said_with_the_fix() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))\n"
        "from wayside_server.app.connections import allow_files\n"
        "allow_files(700); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0]); allow_files(1000)"
    )
    assert hard >= 1024
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout == "1024\n"
    assert "api.connections = 1000 takes 1256 file descriptors, and this process may have 1024; raise" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
