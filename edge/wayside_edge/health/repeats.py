"""Holds back lines that are said again and again, and says how many there were."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""Long enough that a fault which repeats each second is a line a minute, short enough to be seen while it lasts."""
MAX_KNOWN: Final = 256
"""Texts watched at one time; each takes well under a kilobyte."""


@dataclass(slots=True)
class Held:
    """What was held back of one kind of line.

    Args:
        until_s: end of its window, monotonic.
        level: of the last one.
        module: of the last one.
        text: of the last one.
        said: how many went through.
        count: how many were held back.
    """

    until_s: float
    level: int = 0
    module: str = ""
    text: str = ""
    said: int = 0
    count: int = 0


class Repeats:
    """Lets `most` lines of one key pass in each window.

    Args:
        most: lines of a key that pass in a window.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, Held] = OrderedDict()

    def admit(self, key: Hashable, level: int, module: str, text: str, now_s: float) -> bool:
        """Whether a line may pass; one that may not is counted."""
        held = self._known.setdefault(key, Held(now_s + WINDOW_S))
        if held.said < self._most:
            held.said += 1
            return True
        held.level, held.module, held.text = level, module, text
        held.count += 1
        return False

    def take(self, now_s: float, *, everything: bool = False) -> list[Held]:
        """What was held back in windows that have ended, or in all; those begin anew."""
        ended = []
        while self._known:
            key, held = next(iter(self._known.items()))
            if held.until_s > now_s and len(self._known) <= MAX_KNOWN and not everything:
                break
            del self._known[key]
            if held.count:
                ended.append(held)
        return ended
