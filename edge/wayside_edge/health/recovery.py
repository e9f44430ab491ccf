"""How often a part that failed is begun anew, and how long it is set aside. Pure; times are seconds that never jump."""

from dataclasses import dataclass
from typing import Final

STRIKES: Final = 5
"""Failures after which a part is set aside: a passing trouble is over after four restarts, 15 s, and one that is not
would only wear the processor and the log."""
STOOD_S: Final = 600.0
"""A part that ran this long has recovered, and its failures before are forgotten."""
RESTART_S: Final = 1.0
"""The first pause before a restart; it doubles from one to the next."""
ASIDE_S: Final = 60.0
"""The first quarantine: short enough for someone who mends a wire and waits; it doubles from one to the next."""
LONGEST_S: Final = 3600.0
"""Where quarantines stop to grow: a part that heals overnight is back for the morning."""


@dataclass(frozen=True, slots=True)
class Again:
    """What becomes of a part that failed.

    Args:
        pause_s: how long it is left alone before it is begun anew.
        quarantined: whether that is because it failed repeatedly, or holds what it must not hold again soon.
    """

    pause_s: float
    quarantined: bool


class Recovery:
    """The record of one part, which begins at `now_s`."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._strikes = 0
        self._spells = 0

    def failed(self, now_s: float) -> Again:
        """It failed at `now_s`."""
        self._forget(now_s)
        self._strikes += 1
        if self._strikes >= STRIKES:
            return self._aside(now_s)
        return self._again(now_s, RESTART_S * 2.0 ** (self._strikes - 1), quarantined=False)

    def hung(self, now_s: float) -> Again:
        """It hangs, and something that cannot be had back with it: it is set aside at once."""
        self._forget(now_s)
        return self._aside(now_s)

    def retried(self, now_s: float) -> None:
        """It is begun anew earlier than it was said."""
        self._began_s = now_s

    def _forget(self, now_s: float) -> None:
        if now_s - self._began_s >= STOOD_S:
            self._strikes = self._spells = 0

    def _aside(self, now_s: float) -> Again:
        pause_s = min(LONGEST_S, ASIDE_S * 2.0 ** min(self._spells, 30))
        self._spells += 1
        self._strikes = STRIKES - 1  # one failure more, and it is set aside for longer
        return self._again(now_s, pause_s, quarantined=True)

    def _again(self, now_s: float, pause_s: float, *, quarantined: bool) -> Again:
        self._began_s = now_s + pause_s
        return Again(pause_s, quarantined)
