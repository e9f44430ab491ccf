"""What a client without a key may keep: no connection for ever, no more than its share of them, and little memory."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from prometheus_client import REGISTRY

from wayside_server.app import connections
from wayside_server.config import ApiSettings
from wayside_testkit.raw_http import Line, connected, head

Asgi = Callable[
    [dict[str, Any], Callable[[], Awaitable[dict[str, Any]]], Callable[[dict[str, Any]], Awaitable[None]]], Any
]
CHUNKED = "Transfer-Encoding: chunked"


def cut(why: str) -> float:
    return REGISTRY.get_sample_value("wayside_api_requests_cut_total", {"why": why}) or 0.0


@asynccontextmanager
async def serving(app: Asgi, settings: ApiSettings | None = None) -> AsyncIterator[str]:
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    config.load()
    server = connections.BoundedServer(config, connections.bounded(settings or ApiSettings()))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([opened]))
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn gives no event
                    await asyncio.sleep(0.01)
            try:
                yield f"http://127.0.0.1:{opened.getsockname()[1]}"
            finally:
                server.should_exit = True


async def answer(send: Callable[[dict[str, Any]], Awaitable[None]], body: bytes = b"ok") -> None:
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def reads(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the length of the body, once it has all of it, and the headers that it has then."""
    count = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count += len(message["body"])
        if not message["more_body"]:
            await answer(send, f"{count} {len(scope['headers'])}".encode())
            return


async def ignores(_scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """Answers without a look at the body."""
    await answer(send)


class Watches:
    """Answers nothing, and listens for the client's leaving, as live streams do."""

    def __init__(self) -> None:
        self.begun = 0
        self.left = asyncio.Event()

    async def __call__(self, _scope: dict[str, Any], receive: Any, _send: Any) -> None:
        self.begun += 1
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def flood(line: Line, data: bytes, times: int, pause_s: float = 0.0) -> int:
    """How often `data` could be sent, at most `times`, before the other side hung up."""
    for sent in range(times):
        if not await line.send(data):
            return sent
        await asyncio.sleep(pause_s)
    return times


async def test_requests_are_not_sent_ahead_without_end() -> None:
    before, app = cut("pipelining"), Watches()
    request = head("GET", "/")
    async with serving(app) as base, connected(base) as line:
        assert await flood(line, request * 200, 2_000) < 2_000
        assert await line.closed()
        async with asyncio.timeout(10):
            await app.left.wait()
    assert cut("pipelining") == before + 1
    assert app.begun == 1


async def test_a_few_requests_sent_ahead_are_answered_in_turn() -> None:
    async with serving(reads) as base, connected(base) as line:
        requests = [
            head("POST", "/", f"Content-Length: {size}") + b"a" * size for size in range(connections.MAX_WAITING)
        ]
        assert await line.send(b"".join(requests))
        bodies = [(await line.answer()).body for _ in requests]
    assert bodies == [f"{size} 2".encode() for size in range(connections.MAX_WAITING)]


async def test_bodies_of_requests_sent_ahead_are_bounded_together() -> None:
    app = Watches()
    async with serving(app) as base, connected(base) as line:
        await line.send(head("GET", "/") + head("POST", "/", "Content-Length: 1000000000"))
        assert await flood(line, b"a" * 65_536, 1_000) < 1_000


async def test_a_client_that_leaves_with_requests_sent_ahead_is_known_to_have_left() -> None:
    app = Watches()
    async with serving(app) as base:
        async with connected(base) as line:
            await line.send(head("GET", "/") * 3)
            async with asyncio.timeout(10):
                while app.begun == 0:  # noqa: ASYNC110 - the server's own affair
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            await app.left.wait()
    assert app.begun == 1


@pytest.mark.parametrize("app", [reads, ignores])
@pytest.mark.parametrize("begin", [b"1\r\nA\r\n0\r\nX-T: ", b"1;a="], ids=["trailer", "extension"])
async def test_what_is_around_a_body_is_bounded(app: Asgi, begin: bytes) -> None:
    before = cut("trailers")
    async with serving(app) as base, connected(base) as line:
        await line.send(head("POST", "/", CHUNKED) + begin)
        assert await flood(line, b"a" * 65_536, 200) < 200
        assert await line.closed()
    assert cut("trailers") == before + 1


async def test_many_small_trailers_are_bounded_too() -> None:
    async with serving(reads) as base, connected(base) as line:
        await line.send(head("POST", "/", CHUNKED) + b"1\r\nA\r\n0\r\n")
        assert await flood(line, b"X-T: a\r\n" * 1_000, 1_000) < 1_000


async def test_a_body_in_small_chunks_is_taken_and_its_trailers_are_no_headers() -> None:
    async with serving(reads) as base, connected(base) as line:
        await line.send(head("POST", "/", CHUNKED))
        for _ in range(100):
            assert await line.send(b"1;some=extension\r\nA\r\n" * 1_000)
        await line.send(b"0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
        assert (await line.answer()).body == b"100000 2"


async def test_a_body_that_nobody_reads_is_not_taken_without_end() -> None:
    async with serving(ignores) as base, connected(base) as line:
        await line.send(head("POST", "/", "Content-Length: 1000000000"))
        assert (await line.answer()).status == 200
        assert await flood(line, b"a" * 65_536, 1_000) < 1_000


@pytest.mark.parametrize("app", [reads, ignores])
async def test_a_body_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch, app: Asgi) -> None:
    monkeypatch.setattr(connections, "BODY_S", 0.5)
    before = cut("body")

    async with serving(app) as base, connected(base) as line:
        await line.send(head("POST", "/", "Content-Length: 100000"))
        assert await flood(line, b"a", 100, 0.1) < 100
    assert cut("body") == before + 1


async def test_a_body_that_keeps_its_pace_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_S", 0.5)
    async with serving(reads) as base, connected(base) as line:
        await line.send(head("POST", "/", "Content-Length: 10240"))
        for _ in range(10):
            assert await line.send(b"a" * 1_024)
            await asyncio.sleep(0.15)
        assert (await line.answer()).body == b"10240 2"


async def test_a_client_that_waits_to_be_asked_for_its_body_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY_S", 0.2)

    async def late(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(1)
        await reads(scope, receive, send)

    async with serving(late) as base, connected(base) as line:
        await line.send(head("POST", "/", "Content-Length: 3", "Expect: 100-continue"))
        await line.send(b"")
        assert (await line.answer()).status == 100
        await line.send(b"abc")
        assert (await line.answer()).body == b"3 3"


async def test_line_ends_keep_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    async with serving(ignores) as base, connected(base) as line:
        await line.send(head("GET", "/"))
        assert (await line.answer()).status == 200
        assert await flood(line, b"\r\n", 100, 0.1) < 100


async def test_an_address_has_a_share_of_the_connections() -> None:
    settings = ApiSettings(connections=100, connections_per_address=12)
    refused = "wayside_api_address_connections_refused_total"
    before = REGISTRY.get_sample_value(refused) or 0.0
    async with serving(ignores, settings) as base:
        async with AsyncExitStack() as held:
            lines = [await held.enter_async_context(connected(base)) for _ in range(15)]
            for line in lines[12:]:
                assert await line.closed()
            await lines[0].send(head("GET", "/"))
            assert (await lines[0].answer()).status == 200
        assert REGISTRY.get_sample_value(refused) == before + 3
        async with asyncio.timeout(10):
            while True:
                async with connected(base) as line:
                    await line.send(head("GET", "/"))
                    if (await line.answer()).status == 200:
                        break


async def test_a_trusted_proxy_may_have_all_connections() -> None:
    settings = ApiSettings(connections=100, connections_per_address=1, trusted_proxies=["127.0.0.0/8"])
    async with serving(ignores, settings) as base, AsyncExitStack() as held:
        for _ in range(5):
            line = await held.enter_async_context(connected(base))
            await line.send(head("GET", "/"))
            assert (await line.answer()).status == 200


def test_a_share_is_a_quarter_when_nothing_else_is_said() -> None:
    assert [ApiSettings(connections=count).of_address for count in (1_000, 100, 10)] == [250, 25, 10]
