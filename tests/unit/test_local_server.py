"""The two doors for people at the board: whoever comes with garbage, slowly or in crowds does no harm."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from wayside_edge.hal import local_socket
from wayside_edge.health import local_server, prometheus
from wayside_edge.health.local_server import LocalServer
from wayside_edge.health.prometheus import MetricsServer, exposition
from wayside_edge.ports import Reading


async def echo(question: Mapping[str, Any]) -> Mapping[str, Any]:
    if question.get("ask") == "wrong":
        raise ValueError("known questions: none")
    return {"asked": question}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    made = LocalServer(tmp_path / ("a" * 120) / "agent.sock", echo)  # longer than a socket's name may be
    made.path.parent.mkdir()
    await made.start()
    yield made
    made.stop()
    assert not made.path.exists()


async def asked(server: LocalServer, question: bytes) -> Any:
    def exchange() -> bytes:
        with local_socket.connect(server.path, 10.0) as link:
            with suppress(OSError):  # it may have heard enough
                link.sendall(question)
                link.shutdown(socket.SHUT_WR)
            with link.makefile("rb") as lines:
                return lines.readline()

    return json.loads(await asyncio.to_thread(exchange) or b"null")


async def test_a_question_has_its_answer_and_the_socket_is_the_groups(server: LocalServer) -> None:
    assert await asked(server, b'{"ask": "status"}\n') == {"asked": {"ask": "status"}}
    assert await asked(server, b'{"ask": "wrong"}\n') == {"error": "known questions: none"}
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    "garbage", [b"", b"\n", b"\xff\xfe\n", b"[]\n", b"[" * 4000 + b"\n", b"{}", b"x" * 100_000, os.urandom(3000)]
)
async def test_garbage_is_told_off(server: LocalServer, garbage: bytes) -> None:
    told = await asked(server, garbage)
    assert told is None or "error" in told
    assert await asked(server, b'{"ask": 1}\n') == {"asked": {"ask": 1}}


async def test_slow_clients_are_thrown_out_and_crowds_told_to_wait(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "DEADLINE_S", 0.5)
    monkeypatch.setattr(local_server, "WAITING", 20)
    links = [await asyncio.to_thread(local_socket.connect, server.path, 10.0) for _ in range(19)]
    assert await asked(server, b'{"ask": 1}\n') == {"asked": {"ask": 1}}, "who asks nothing takes nobody's place"
    links.append(await asyncio.to_thread(local_socket.connect, server.path, 10.0))
    assert await asked(server, b'{"ask": 1}\n') == {"error": "too many ask at once"}
    for link in links:
        assert await asyncio.to_thread(link.recv, 1) == b""
        link.close()
    assert await asked(server, b'{"ask": 1}\n') == {"asked": {"ask": 1}}


async def test_a_dead_agents_socket_is_replaced_and_a_living_ones_is_left(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    living, second = LocalServer(path, echo), LocalServer(path, echo)
    await living.start()
    with pytest.raises(OSError, match="in use"):
        await second.start()
    second.stop()
    assert await asked(living, b'{"ask": 1}\n') == {"asked": {"ask": 1}}
    living.stop()


async def test_a_file_in_the_way_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        await LocalServer(path, echo).start()
    assert path.read_text() == "precious"


def test_the_text_for_prometheus() -> None:
    own = [
        Reading("cpu", 1.25, "%"),
        Reading("reads_failed", 3, "{count}"),
        Reading("link_up", 1, "1"),
        Reading("reads_failed.roof", 3, "{count}"),
        Reading("stage_time.watch", 0.25, "s"),
    ]
    last = [Reading("temperature", 21.5, "Cel"), Reading("state", "open", "1"), Reading("gone", None, "Cel")]
    assert exposition(own, [('a"b\n', last)]) == (
        "# HELP wayside_agent_cpu_percent The agent's share of one core since it last measured itself.\n"
        "# TYPE wayside_agent_cpu_percent gauge\n"
        "wayside_agent_cpu_percent 1.25\n"
        "# HELP wayside_agent_reads_failed_total Reads of all sensors that failed.\n"
        "# TYPE wayside_agent_reads_failed_total counter\n"
        "wayside_agent_reads_failed_total 3.0\n"
        "# HELP wayside_agent_link_up 1 while a session with the broker stands.\n"
        "# TYPE wayside_agent_link_up gauge\n"
        "wayside_agent_link_up 1.0\n"
        "# HELP wayside_agent_sensor_reads_failed_total Reads of one sensor that failed.\n"
        "# TYPE wayside_agent_sensor_reads_failed_total counter\n"
        'wayside_agent_sensor_reads_failed_total{of="roof"} 3.0\n'
        "# HELP wayside_agent_stage_time_seconds_total Time that a stage's module or interpreter took.\n"
        "# TYPE wayside_agent_stage_time_seconds_total counter\n"
        'wayside_agent_stage_time_seconds_total{of="watch"} 0.25\n'
        "# HELP wayside_reading The last value of a series that is a number.\n"
        "# TYPE wayside_reading gauge\n"
        'wayside_reading{series="a\\"b\\n.temperature",unit="Cel"} 21.5\n'
    )


async def fetched(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        with suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def test_prometheus_is_served_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "DEADLINE_S", 0.3)

    async def text() -> str:
        return "wayside_agent_cpu_percent 1.0\n"

    server = MetricsServer("127.0.0.1", 0, text)
    port = await server.start()
    answer = await fetched(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body == (await text()).encode()
    assert (await fetched(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
    assert b"404" in await fetched(port, b"GET /etc/passwd HTTP/1.1\r\n\r\n")
    assert b"405" in await fetched(port, b"POST /metrics HTTP/1.1\r\n\r\n")
    for garbage in (b"GET", b"\r\n\r\n", os.urandom(100), b"x" * 50_000):
        assert b"200" not in await fetched(port, garbage)
    assert b"200" in await fetched(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    server.stop()
