"""Two connections with one identity, read from the broker's log: an agent that reconnects, or two boards."""

import re
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from wayside_server.domain.watching import FLAPPING_SESSION, SHARED_IDENTITY

MOST = 3
"""Takeovers within WITHIN_S that are taken as they are: an agent whose link broke comes back before the broker has
given the old connection up, and does so again when the link is bad."""
WITHIN_S = 600.0
NAMES = 50_000
"""Names that are followed: more than twice the connections that the broker takes."""

_TAKEN = re.compile(r"Client ([a-z0-9][a-z0-9-]{2,62}) already connected, closing old connection\.?")
_CONNECTED = re.compile(r"New client connected from (\S+):\d+ as ([a-z0-9][a-z0-9-]{2,62}) \(")
"""Mosquitto 2.0 and 2.1; the first stands before the second of the same connection."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A name that changes hands too often.

    Args:
        device: the name.
        kind: of incident.
        detail: in one line.
    """

    device: str
    kind: str
    detail: str


@dataclass(slots=True)
class _Name:
    address: str | None = None
    taken: bool = False
    times_s: deque[float] = field(default_factory=deque)
    addresses: deque[str] = field(default_factory=lambda: deque(maxlen=2 * MOST))


class Takeovers:
    """Follows who is connected from where. What it found is taken once; a name that goes on is found again."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._found: dict[str, Shared] = {}

    def note(self, line: str, now_s: float) -> None:
        """Takes a line of the broker's log.

        Args:
            line: without the broker's clock.
            now_s: monotonic time in seconds.
        """
        taken = _TAKEN.fullmatch(line)
        if taken is not None:
            self._name(taken[1]).taken = True
            return
        connected = _CONNECTED.match(line)
        if connected is not None:
            self._connected(connected[2], connected[1], now_s)

    def take(self) -> Sequence[Shared]:
        """What was found since the last call."""
        found = list(self._found.values())
        self._found.clear()
        return found

    def _name(self, device: str) -> _Name:
        name = self._names.setdefault(device, _Name())
        self._names.move_to_end(device)
        if len(self._names) > NAMES:
            self._names.popitem(last=False)
        return name

    def _connected(self, device: str, address: str, now_s: float) -> None:
        name = self._name(device)
        taken, name.taken = name.taken, False
        before, name.address = name.address, address
        if not taken:
            return
        name.times_s.append(now_s)
        name.addresses.extend(one for one in (before, address) if one is not None)
        while name.times_s and name.times_s[0] < now_s - WITHIN_S:
            name.times_s.popleft()
        if len(name.times_s) > MOST:
            self._found[device] = _shared(device, len(name.times_s), sorted(set(name.addresses)))
            # It is said again after as many more.
            name.times_s.clear()
            name.addresses.clear()


def _shared(device: str, times: int, addresses: Sequence[str]) -> Shared:
    often = f"{times} times within {WITHIN_S / 60:.0f} minutes"
    if len(addresses) > 1:
        where = " and ".join(addresses[:3])
        return Shared(
            device, SHARED_IDENTITY, f"its session was taken over {often}, from {where}: a cloned card, or a moving one"
        )
    where = addresses[0] if addresses else "an unknown address"
    detail = f"its session was taken over {often}, always from {where}: a bad link, or two boards behind one router"
    return Shared(device, FLAPPING_SESSION, detail)
