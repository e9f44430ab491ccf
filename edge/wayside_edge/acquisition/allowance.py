"""How much a stage may give: a flood of readings or of words ends at the stage, and costs the sensors nothing. Pure."""

from collections.abc import Sequence
from typing import Final

from wayside_edge.compute.serving import StageError
from wayside_shared.clock import NS_PER_S
from wayside_shared.stage_worker import Failure

PER_READING: Final = 4
"""What it may give for each reading that it is given, whatever the time: a recording brings a day in a second, and a
model of one series gives two for each row, a classifier one for each label."""

TEXT_BYTES: Final = 16
"""A text counts as one reading for each so many bytes, which is what a number and its time take at most."""

BURST_S: Final = 10.0
"""Of a rate, what may come at once: a stage of which little is heard may have much to say then."""


class Allowance:
    """Filled by time and by what the stage is given, emptied by what it gives.

    What is over it counts too, so that one that floods again and again is stopped at once after each pause.

    Args:
        per_s: readings a second, in the long run.
        at_once: readings that it may give for one block, at the least.
        now_ns: boot time.
    """

    def __init__(self, per_s: float, at_once: int, now_ns: int) -> None:
        self._per_s = per_s
        self._most = max(per_s * BURST_S, at_once)
        self._left = self._most
        self._at_ns = now_ns

    def spend(self, readings: int, events: Sequence[str], given: int, now_ns: int) -> None:
        """Take what a stage gave off.

        Args:
            readings: how many it gave.
            events: what it said happened.
            given: readings that it was given for them.
            now_ns: boot time.

        Raises:
            StageError: it is more than is left; OUTPUT.
        """
        passed_s = (now_ns - self._at_ns) / NS_PER_S
        self._at_ns = now_ns
        left = min(self._left + passed_s * self._per_s, self._most) + PER_READING * given
        texts = sum(1 + len(event.encode()) / TEXT_BYTES for event in events)
        self._left = max(left - readings - texts, -self._most)
        if readings + texts > left:
            gave = f"it gave {readings} readings" + (f" and {len(events)} texts" if events else "")
            rate = f"{self._per_s:g} a second and {PER_READING} for each that it is given"
            raise StageError(Failure.OUTPUT, f"{gave}, over {rate}; where that is meant, raise its outputs_per_s")
