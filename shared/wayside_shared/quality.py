"""How far a sample can be trusted."""

from enum import IntEnum
from typing import Final

FIRST_ABSENT: Final = 64


class Quality(IntEnum):
    """The quality of a sample. The numbers travel and are never given another meaning.

    Below `FIRST_ABSENT` there is a value; from there on there is none, and the quality says why.
    """

    GOOD = 0
    CLIPPED = 1
    """The chip was at the end of its range: the true value lies there or beyond."""
    UNSTABLE = 2
    """Something had not settled yet: a warm-up, a heater, an algorithm that still learns."""
    STALE = 3
    """The chip had not measured again since the sample before."""
    OVERRUN = 4
    """Samples before this one were lost on the board: a FIFO or a counter ran over."""

    PARTIAL = 5
    """A statistic of a window in which some readings had no value."""

    ABSENT = 64
    """No chip answers at its address."""
    BUS_FAULT = 65
    """The bus is missing, held low, timed out or forbidden."""
    CHECKSUM = 66
    """The chip's checksum does not fit its data."""
    NOT_READY = 67
    """The chip did not finish a measurement in time."""
    OUT_OF_RANGE = 68
    """The chip gave what it cannot measure."""
    WRONG_CHIP = 69
    """Something else than the configured chip answers."""
    OPEN_CIRCUIT = 70
    """The sensing element is disconnected, or shorted."""
    POWER_LOST = 71
    """The chip lost its settings or holds its power-on value: its supply failed."""
    INVALID = 72
    """It is no measurement for another reason; where a whole read failed, the agent's log has it."""

    @property
    def has_value(self) -> bool:
        """Whether a sample of this quality has a value."""
        return self < FIRST_ABSENT

    @property
    def label(self) -> str:
        """Its name in the API and in exports."""
        return self.name.lower()


def label_of(code: int) -> str:
    """The label of a code; one that a later version may bring, 200 say, has the label 'code 200'."""
    try:
        return Quality(code).label
    except ValueError:
        return f"code {code}"
