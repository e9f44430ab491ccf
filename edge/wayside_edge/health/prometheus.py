"""The text that Prometheus reads (exposition format 0.0.4), and a server for it that takes no more than it must."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from wayside_edge.health.measure import newest
from wayside_edge.ports import Reading, SensorState

CLIENTS: Final = 4
"""Prometheus comes alone; whoever else is there at the same time may try again."""
HEAD_BYTES: Final = 4 * 1024
DEADLINE_S: Final = 5.0
"""For a request and for its answer, each some kilobytes."""
PREFIX: Final = "wayside_agent_"
_UNITS: Final = {"By": "_bytes", "s": "_seconds", "%": "_percent", "Cel": "_celsius"}
_COUNTERS: Final = re.compile(
    r"accepted|refused|reads|reads_failed|reads_missed|reconnects|batches_delivered|batches_refused|events|dropped"
    r"|stage_time|stage_blocks|stage_failures|stage_given_up"
)
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(own: Iterable[Reading], sensors: Sequence[SensorState]) -> str:
    """The readings of the agent itself, and the latest values of its sensors that are numbers.

    A reading `a.b` is the metric `a` with the label `of="b"`; the sum `a` beside it has none.
    """
    by_metric: dict[str, list[str]] = {}
    for reading in own:
        metric, _, label = reading.name.partition(".")
        kind = "counter" if _COUNTERS.fullmatch(metric) else "gauge"
        name = f"{PREFIX}{metric}{'_total' if kind == 'counter' else _UNITS.get(reading.unit, '')}"
        labels = f"{{of={_quoted(label)}}}" if label else ""
        by_metric.setdefault(f"# TYPE {name} {kind}", []).extend(_row(name, labels, reading))
    values = by_metric.setdefault("# TYPE wayside_reading gauge", [])
    for sensor in sensors:
        for reading in newest(sensor.last).values():
            labels = f"{{series={_quoted(f'{sensor.name}.{reading.name}')},unit={_quoted(reading.unit)}}}"
            values.extend(_row("wayside_reading", labels, reading))
    return "".join(f"{line}\n" for head, rows in by_metric.items() if rows for line in (head, *rows))


def _row(name: str, labels: str, reading: Reading) -> Iterator[str]:
    if isinstance(reading.value, int | float):
        yield f"{name}{labels} {float(reading.value)!r}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class MetricsServer:
    """Answers `GET /metrics`.

    Args:
        host: address to listen at.
        port: its port; 0 for any.
        text: makes the answer.
    """

    def __init__(self, host: str, port: int, text: Callable[[], Awaitable[str]]) -> None:
        self._host = host
        self._port = port
        self._text = text
        self._clients = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            OSError: the address cannot be had.
        """
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=HEAD_BYTES)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= CLIENTS:
                async with asyncio.timeout(DEADLINE_S):
                    writer.write(await self._answer(reader))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asks like this gets nothing
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "GET /metrics is all there is\n")
        if words[1].split(b"?")[0] not in (b"/metrics", b"/"):
            return _response("404 Not Found", "GET /metrics is all there is\n")
        whole = _response("200 OK", await self._text())
        return whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if words[0] == b"HEAD" else whole


def _response(status: str, text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
