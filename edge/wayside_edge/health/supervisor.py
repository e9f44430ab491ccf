"""Which parts of the agent live. Pure: it knows no clock but the times it is given.

A part shows life by beats. The time that passes without one is counted in looks, each for at most twice what lies
between two of them, so that a process that was stopped, or a machine that did not run it, blames none of its parts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

LOOK_S: Final = 2.0
"""From one look to the next: a wake-up every two seconds is not seen in the processor's load, and no deadline is so
short that two seconds matter."""


class Pulse:
    """How one part shows that it lives; for one thread at a time. It rests until its first beat.

    Args:
        part: its name, as the log has it.
        deadline_s: how long it may go without a beat while it does not rest.
        critical: whether the agent can do nothing without it but end.
    """

    __slots__ = ("alarm", "beats", "critical", "deadline_s", "part", "resting")

    def __init__(self, part: str, deadline_s: float, *, critical: bool) -> None:
        self.part = part
        self.deadline_s = deadline_s
        self.critical = critical
        self.beats = 0
        self.resting = True
        self.alarm: Callable[[], None] = _nothing
        """Called in the event loop when the deadline has passed, unless the part is critical."""

    def beat(self) -> None:
        """It lives, and will show it again within its deadline."""
        self.beats += 1
        self.resting = False

    def rest(self) -> None:
        """It has nothing to do until its next beat."""
        self.beats += 1
        self.resting = True


def _nothing() -> None:
    """What follows for a part that nobody keeps."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found.

    Args:
        alive: whether the watchdogs are to be fed.
        cause: why not; empty while they are.
        overdue: pulses of parts that have passed their deadlines since the look before; each once, until it beats.
    """

    alive: bool
    cause: str
    overdue: Sequence[Pulse]


@dataclass(slots=True)
class _Watched:
    pulse: Pulse
    beats: int
    silent_s: float = 0.0
    told: bool = False

    @property
    def late(self) -> bool:
        return not self.pulse.resting and self.silent_s > self.pulse.deadline_s

    def pass_on(self, elapsed_s: float) -> None:
        beats = self.pulse.beats
        if beats != self.beats or self.pulse.resting:
            self.beats, self.silent_s, self.told = beats, 0.0, False
        else:
            self.silent_s += elapsed_s


class Supervisor:
    """Looks at pulses.

    Args:
        look_s: how often it is going to look, in seconds.
    """

    def __init__(self, look_s: float = LOOK_S) -> None:
        self.look_s = look_s
        self._watched: list[_Watched] = []
        self._looked_s: float | None = None
        self._given_up = ""

    def watch(self, part: str, deadline_s: float, *, critical: bool = False) -> Pulse:
        """A pulse for `part`, watched from now on."""
        pulse = Pulse(part, deadline_s, critical=critical)
        # A new list: the thread that looks may be going through the old one.
        self._watched = [*self._watched, _Watched(pulse, pulse.beats)]
        return pulse

    def give_up(self, cause: str) -> None:
        """The agent cannot heal: from now on it counts as dead."""
        self._given_up = self._given_up or cause

    def look(self, now_s: float) -> Look:
        """What there is to see at `now_s`, in seconds of a clock that never jumps."""
        elapsed_s = 0.0 if self._looked_s is None else min(max(now_s - self._looked_s, 0.0), 2.0 * self.look_s)
        self._looked_s = now_s
        overdue: list[Pulse] = []
        cause = self._given_up
        for watched in self._watched:
            watched.pass_on(elapsed_s)
            if not watched.late:
                continue
            if not watched.told:
                watched.told = True
                overdue.append(watched.pulse)
            if watched.pulse.critical:
                cause = cause or f"{watched.pulse.part} has shown no life for {watched.silent_s:.0f} s"
        return Look(not cause, cause, overdue)
