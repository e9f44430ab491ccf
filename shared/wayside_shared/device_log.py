"""Lines of a device's log on its way to the server, topic `…/log`: JSON, so that any device can send some.

`{"run": "<16 hex digits>", "lines": [[number, time, level, module, text, event, data], …]}`. A line is known by device,
run and number, so one that comes twice is stored once. Numbers rise within a run; where one is missing, lines were
left out. `time` is milliseconds since 1970 in UTC, or null while the device does not know the time. `event` names what
happened, or is null, and `data` is an object then.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wayside_shared.clock import EARLIEST_NS, LATEST_NS, NS_PER_MS
from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode
from wayside_shared.text import parse_json, to_json

LOG_CONTENT_TYPE: Final = "application/vnd.wayside.log+json"
MAX_LOG_BYTES: Final = 256 * 1024
MAX_LINES: Final = 200
"""Lines in a message: with texts of usual length some 30 KB."""
MAX_TEXT_BYTES: Final = 4 * 1024
MAX_DATA_BYTES: Final = 4 * 1024
"""Of one line, in UTF-8: a traceback with its ends fits, and thousands of lines of a hostile device stay some tens of
megabytes."""
MAX_NAME: Final = 120
MAX_NUMBER: Final = (1 << 53) - 1
LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_RUN = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line.

    Args:
        number: rises within a run.
        at_ms: when, UTC milliseconds; None while the device does not know the time.
        level: one of `LEVELS`.
        module: the part of the agent that said it.
        text: what it said.
        event: the name of what happened; None for a line that is none.
        data: the event's data.
    """

    number: int
    at_ms: int | None
    level: str
    module: str
    text: str
    event: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def encode_log(run: str, lines: Sequence[LogLine]) -> bytes:
    """The message that carries `lines` of `run`."""
    rows = [
        [line.number, line.at_ms, line.level, line.module, line.text, line.event, dict(line.data)] for line in lines
    ]
    return to_json({"run": run, "lines": rows}).encode(errors="replace")


def decode_log(payload: bytes) -> tuple[str, list[LogLine]]:
    """The run and the lines in `payload`.

    Raises:
        RejectedError: it holds none; nothing else, whatever the bytes.
    """
    if len(payload) > MAX_LOG_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"{len(payload)} bytes of log; the limit is {MAX_LOG_BYTES}")
    match parse_json(payload):
        case {"run": str(run), "lines": list(rows)} if _RUN.fullmatch(run):
            if len(rows) > MAX_LINES:
                raise RejectedError(RejectCode.TOO_LARGE, f"{len(rows)} lines of log; the limit is {MAX_LINES}")
            return run, [_line(row) for row in rows]
        case _:
            raise _malformed("a log must be an object with a run of 16 hex digits and a list of lines")


def _line(row: Any) -> LogLine:
    match row:
        case [number, at_ms, str(level), str(module), str(text), event, dict(data)] if type(number) is int:
            pass
        case _:
            raise _malformed("a line of log must be number, time, level, module, text, event and data")
    if not 0 <= number <= MAX_NUMBER or level not in LEVELS:
        raise _malformed("a line of log has an impossible number or an unknown level")
    if at_ms is not None and (type(at_ms) is not int or not EARLIEST_NS <= at_ms * NS_PER_MS < LATEST_NS):
        raise _malformed("a line of log has an impossible time")
    if event is not None and (type(event) is not str or not _is_name(event)):
        raise _malformed("a line of log has an event without a proper name")
    if not _is_name(module) or len(text.encode()) > MAX_TEXT_BYTES or len(to_json(data).encode()) > MAX_DATA_BYTES:
        raise _malformed("a line of log has a part that is too long, or a module that is no name")
    return LogLine(number, at_ms, level, module, text, event, data)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _malformed(detail: str) -> RejectedError:
    return RejectedError(RejectCode.MALFORMED, detail)
