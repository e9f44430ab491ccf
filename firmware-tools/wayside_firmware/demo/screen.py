"""What the person at the terminal sees."""

import shutil
import sys
import time

PLAIN_EVERY_S = 5.0
"""How often the account is written where lines cannot be written over."""


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

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._start_s

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._clear()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def done(self, text: str) -> None:
        """A step that is done, with the seconds since the beginning."""
        self.say(f"  {self.elapsed_s:5.1f} s  {text}")

    def doing(self, text: str) -> None:
        """A step that is under way; only shown on a terminal."""
        if self._terminal:
            self._fleet(f"  {self.elapsed_s:5.1f} s  {text} …")

    def account(self, text: str) -> None:
        """The account as it is now."""
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
