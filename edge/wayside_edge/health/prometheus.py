"""The text that Prometheus reads (exposition format 0.0.4), and a server for it that takes no more than it must."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from wayside_edge.health.measure import newest
from wayside_edge.ports import Reading

CLIENTS: Final = 4
"""Prometheus comes alone; whoever else is there at the same time may try again."""
HEAD_BYTES: Final = 4 * 1024
DEADLINE_S: Final = 5.0
"""For a request and for its answer, each some kilobytes."""
PREFIX: Final = "wayside_agent_"
_UNITS: Final = {"By": "_bytes", "s": "_seconds", "%": "_percent", "Cel": "_celsius"}
_COUNTERS: Final = re.compile(
    r"accepted|refused|reads|(sensor_)?reads_failed|(sensor_)?reads_missed|reconnects|batches_delivered|batches_refused|events|dropped"
    r"|stage_time|stage_blocks|stage_failures|stage_given_up"
)
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


MEANINGS: Final[Mapping[str, str]] = {
    "accepted": "Samples accepted since the start: written to the outbox and synced.",
    "batches_delivered": "Batches that the server confirmed.",
    "batches_refused": "Batches that the server refused for good.",
    "board_temperature": "Temperature of the processor.",
    "certificate_failures": "Failed attempts to renew the certificate, since the last that succeeded.",
    "certificate_left": "Time until the certificate ends.",
    "clock_max_error": "Largest error of the clock, as the kernel estimates it.",
    "clock_offset": "What the kernel still corrects of the clock.",
    "clock_synced": "1 while the clock is synchronised.",
    "cpu": "The agent's share of one core since it last measured itself.",
    "disk_available": "Free on the file system of the outbox.",
    "dropped": "Samples given up for want of room, which the server is told of.",
    "events": "How often an event happened.",
    "flash_pre_eol": "Spare blocks of an eMMC: 1 good, 2 warning, 3 urgent.",
    "flash_used": "Wear of an eMMC.",
    "link_up": "1 while a session with the broker stands.",
    "memory": "Resident memory of the agent.",
    "outbox_used": "Room that the outbox takes.",
    "pending_batches": "Batches that the server has not confirmed.",
    "pending_oldest": "Age of the oldest of them.",
    "pending_samples": "Samples in them.",
    "reads": "Reads of all sensors.",
    "reads_failed": "Reads of all sensors that failed.",
    "reads_missed": "Reads of all sensors that were left out.",
    "reconnects": "Sessions with the broker after the first.",
    "rejections": "Sessions in a row that the broker ended before they came about.",
    "refused": "Readings that no sample can hold, and that were counted instead.",
    "sensor_reads_failed": "Reads of one sensor that failed.",
    "sensor_reads_missed": "Reads of one sensor that were left out.",
    "slowed": "1 while a Raspberry Pi holds its processor back.",
    "stage_blocks": "Blocks of readings that a stage worked on.",
    "stage_failures": "Failures of a stage's workers.",
    "stage_given_up": "Readings that a stage will never get.",
    "stage_time": "Time that a stage's module or interpreter took.",
    "stage_waiting": "Readings that wait for a stage.",
    "under_voltage": "1 while the supply of a Raspberry Pi is too low.",
    "waiting": "Samples in memory that are not in the outbox yet.",
}


def exposition(own: Iterable[Reading], latest: Iterable[tuple[str, Sequence[Reading]]]) -> str:
    """The readings of the agent itself, and the latest values of sensors and stages that are numbers.

    A reading `a.b` is the metric `a` with the label `of="b"`. Where `a` is also the sum over all, the one of a sensor
    has a name of its own, so that adding up counts nothing twice.

    Args:
        own: of the agent.
        latest: names of sensors and stages, and what they gave last.
    """
    by_metric: dict[str, list[str]] = {}
    for reading in own:
        metric, _, label = reading.name.partition(".")
        if label and metric.startswith("reads_"):
            metric = f"sensor_{metric}"
        kind = "counter" if _COUNTERS.fullmatch(metric) else "gauge"
        name = f"{PREFIX}{metric}{_UNITS.get(reading.unit, '')}{'_total' if kind == 'counter' else ''}"
        labels = f"{{of={_quoted(label)}}}" if label else ""
        help_line = f"# HELP {name} {MEANINGS[metric]}\n" if metric in MEANINGS else ""
        by_metric.setdefault(f"{help_line}# TYPE {name} {kind}", []).extend(_row(name, labels, reading))
    head = "# HELP wayside_reading The last value of a series that is a number.\n# TYPE wayside_reading gauge"
    values = by_metric.setdefault(head, [])
    for source, last in latest:
        for reading in newest(last).values():
            labels = f"{{series={_quoted(f'{source}.{reading.name}')},unit={_quoted(reading.unit)}}}"
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
