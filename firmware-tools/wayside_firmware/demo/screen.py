"""What the person at the terminal sees."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PLAIN_EVERY_S = 5.0
"""How often the account, or what takes long, is written where lines cannot be written over."""
TICK_S = 0.25
"""How often the seconds of a step move on a terminal."""


class Screen:
    """Lines that stay, and one at the bottom that is written over; on a file or pipe there are only lines.

    Args:
        start_s: CLOCK_MONOTONIC when the command began.
    """

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._terminal = sys.stdout.isatty()
        self._fleeting = False
        self._next_plain_s = 0.0
        self._step = ""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._start_s

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._step = ""
        self._clear()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def done(self, text: str) -> None:
        """A step that is done, with the seconds since the beginning."""
        self.say(f"  {self.elapsed_s:5.1f} s  {text}")

    def doing(self, text: str) -> None:
        """A step that is under way; where lines cannot be written over, only if it takes long."""
        self._step = text
        self._next_plain_s = time.monotonic() + PLAIN_EVERY_S
        self._show_step()

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Shows that steps inside the block go on."""
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(self._tick())
            try:
                yield
            finally:
                ticker.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._step:
                self._show_step()

    def _show_step(self) -> None:
        line = f"  {self.elapsed_s:5.1f} s  {self._step} …"
        if self._terminal:
            self._fleet(line)
        elif time.monotonic() >= self._next_plain_s:
            self._next_plain_s = time.monotonic() + PLAIN_EVERY_S
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def account(self, text: str) -> None:
        """The account as it is now."""
        self._step = ""
        if self._terminal:
            self._fleet(text)
        elif time.monotonic() >= self._next_plain_s:
            self._next_plain_s = time.monotonic() + PLAIN_EVERY_S
            self.say(text)

    def _fleet(self, text: str) -> None:
        self._clear()
        # The last column stays free: writing there would move some terminals to the next line.
        sys.stdout.write(text[: shutil.get_terminal_size().columns - 1])
        sys.stdout.flush()
        self._fleeting = True

    def _clear(self) -> None:
        if self._fleeting:
            sys.stdout.write("\r\x1b[K")
            self._fleeting = False
