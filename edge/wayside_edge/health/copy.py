"""The copy of the log for the server: a bounded ring, sent when the link has nothing else to carry."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isfinite
from typing import Final

from wayside_edge.health.lines import Line
from wayside_edge.health.settings import SendLevel
from wayside_edge.ports import Clock, Outgoing
from wayside_shared.clock import NS_PER_MS
from wayside_shared.device_log import LOG_CONTENT_TYPE, MAX_DATA_BYTES, MAX_TEXT_BYTES, LogLine, encode_log
from wayside_shared.text import to_json
from wayside_shared.topics import Channel, topic

RING_LINES: Final = 1_000
RING_CHARACTERS: Final = 1_000_000
"""What is kept while the link is away: an hour of a line every few seconds, at most a few MB on a board."""
MESSAGE_LINES: Final = 100
MESSAGE_CHARACTERS: Final = 24_000
"""One message: a second of a slow radio link, so that samples which come meanwhile hardly wait for it."""
GATHER_S: Final = 1.0
"""Lines that are said together travel together."""


class LogCopy:
    """A `Sink` of the log and the `Spare` of the uplink. Lines come from any thread, all else is for the event loop.

    Args:
        device: whose log it is.
        level: least level of the lines that are copied.
        clock: says when a line was said, as far as that is known by the time it is sent.
        most: lines that are kept.
    """

    def __init__(self, device: str, level: SendLevel, clock: Clock, most: int = RING_LINES) -> None:
        self.level = level
        self._topic = topic(device, Channel.LOG)
        self._clock = clock
        self._most = most
        self._run = os.urandom(8).hex()
        self._lock = threading.Lock()
        self._ring: deque[Line] = deque()
        self._characters = 0
        self._left_out = 0
        self._last_left_out: Line | None = None
        self._on_its_way: bytes | None = None
        self._session = 0
        self._sent_in = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudge: Callable[[], None] = lambda: None
        self._woken = False

    @property
    def waiting(self) -> int:
        """Lines that are not sent yet."""
        return len(self._ring)

    def attach(self, nudge: Callable[[], None]) -> None:
        """Call `nudge` in the running event loop when there is something to send."""
        self._loop, self._nudge = asyncio.get_running_loop(), nudge

    def write(self, line: Line) -> None:
        """See `Sink`."""
        if line.level < self.level.number:
            return
        with self._lock:
            self._ring.append(line)
            self._characters += line.size
            while len(self._ring) > self._most or self._characters > RING_CHARACTERS:
                self._last_left_out = self._ring.popleft()
                self._characters -= self._last_left_out.size
                self._left_out += 1
        if self._loop is not None and not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop has ended; nothing is sent any more
                self._loop.call_soon_threadsafe(self._wake_later)

    def began(self) -> None:
        """See `Spare`."""
        self._session += 1

    def next(self) -> Outgoing | None:
        """See `Spare`."""
        if self._on_its_way is None:
            lines = self._take()
            if not lines:
                return None
            self._on_its_way = encode_log(self._run, [self._told(line) for line in lines])
        elif self._sent_in == self._session:
            return None
        session = self._sent_in = self._session
        return Outgoing(self._topic, self._on_its_way, LOG_CONTENT_TYPE, taken=lambda: self._taken(session))

    def _taken(self, session: int) -> None:
        if session == self._session:
            self._on_its_way = None
            if self._ring:
                self._nudge()

    def _wake_later(self) -> None:
        assert self._loop is not None
        self._loop.call_later(GATHER_S, self._wake)

    def _wake(self) -> None:
        self._woken = False
        self._nudge()

    def _take(self) -> Sequence[Line]:
        taken: list[Line] = []
        characters = 0
        with self._lock:
            gone = self._last_left_out
            if gone is not None:
                text = f"{self._left_out} line{'' if self._left_out == 1 else 's'} left out of this copy: the link was"
                taken.append(Line(gone.number, gone.wall_ns, gone.boottime_ns, 30, __name__, f"{text} away or busy"))
                self._left_out, self._last_left_out = 0, None
            while self._ring and len(taken) < MESSAGE_LINES and characters < MESSAGE_CHARACTERS:
                taken.append(self._ring.popleft())
                characters += taken[-1].size
                self._characters -= taken[-1].size
        return taken

    def _told(self, line: Line) -> LogLine:
        at_ms = None
        if self._clock.synced():
            at_ms = (self._clock.wall_ns() - self._clock.boottime_ns() + line.boottime_ns) // NS_PER_MS
        data = {name: _clean(value) for name, value in line.fields.items()}
        if len(to_json(data).encode(errors="replace")) > MAX_DATA_BYTES:
            data = {}  # the text says the same
        return LogLine(
            *(line.number, at_ms, line.level_name.lower(), line.module, _shortened(line.text), line.event, data)
        )


def _clean(value: object) -> object:
    """`value` as PostgreSQL can keep it."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    return value if isinstance(value, int | bool) or (isinstance(value, float) and isfinite(value)) else str(value)


def _shortened(text: str) -> str:
    """`text` with its middle left out when it is too long: a traceback says at its end what happened."""
    raw = text.replace("\0", "").encode(errors="replace")
    if len(raw) <= MAX_TEXT_BYTES:
        return raw.decode()
    half = MAX_TEXT_BYTES // 2 - 8
    return f"{raw[:half].decode(errors='ignore')}\n[…]\n{raw[-half:].decode(errors='ignore')}"
