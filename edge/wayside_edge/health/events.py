"""Named events: what happens on a board, each with its counter and its log line."""

import logging
from collections import Counter
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a log line. Subclasses set the level and the line, and are counted by their class name."""

    level: ClassVar[int] = logging.INFO
    line: ClassVar[str] = ""
    """The log line; braces hold names of fields."""

    def text(self) -> str:
        """The log line with this event's data."""
        return self.line.format_map({name: getattr(self, name) for name in (field.name for field in fields(self))})


@dataclass(frozen=True, slots=True)
class SensorFailing(Event):
    """Reads of a sensor began to fail."""

    level = logging.WARNING
    line = "sensor {sensor} began to fail: {cause}"
    sensor: str
    cause: str


@dataclass(frozen=True, slots=True)
class SensorRecovered(Event):
    """A sensor that failed gives readings again."""

    line = "sensor {sensor} works again after {failures} failures"
    sensor: str
    failures: int


@dataclass(frozen=True, slots=True)
class SensorStalled(Event):
    """A driver did not come back in time; its bus waits with it."""

    level = logging.WARNING
    line = "sensor {sensor} has not answered for {seconds:g} s; its bus is waiting for it"
    sensor: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadingRefused(Event):
    """A reading can never be stored; logged for the first of each series and reason."""

    level = logging.WARNING
    line = "readings of {series} are refused: {reason}"
    series: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageFailing(Event):
    """A stage began to fail, or fails for another reason; the samples that it was to work on are not concerned."""

    level = logging.WARNING
    line = "stage {stage} failed: {cause}"
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class StageRecovered(Event):
    """A stage that failed gives results again."""

    line = "stage {stage} works again after {failures} failures"
    stage: str
    failures: int


@dataclass(frozen=True, slots=True)
class StageQuarantined(Event):
    """A stage failed again and again and is left alone for a while."""

    level = logging.ERROR
    line = "stage {stage} failed {failures} times in a row and is left alone for {seconds:g} s: {cause}"
    stage: str
    failures: int
    seconds: float
    cause: str


@dataclass(frozen=True, slots=True)
class StageBehind(Event):
    """A stage is slower than what it is to work on comes in: the oldest of that is given up."""

    level = logging.WARNING
    line = "stage {stage} is behind and will not see some readings; they are sent all the same"
    stage: str


@dataclass(frozen=True, slots=True)
class StageHappened(Event):
    """A module or a model says that something happened; the server gets it as a sample of the stage's `event`."""

    level = logging.WARNING
    line = "stage {stage}: {text_of_it}"
    stage: str
    text_of_it: str


@dataclass(frozen=True, slots=True)
class StageSwapped(Event):
    """A stage goes on with another file or other settings."""

    line = "stage {stage} goes on with its new settings, its state {state}"
    stage: str
    state: str


@dataclass(frozen=True, slots=True)
class StageSwapRefused(Event):
    """The new file of a stage cannot be used; the one before stays at work."""

    level = logging.ERROR
    line = "stage {stage} stays as it was, because its new settings do not work: {cause}"
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """The configuration was read anew."""

    line = "the configuration was read anew; {stages} stages changed{rest}"
    stages: int
    rest: str


@dataclass(frozen=True, slots=True)
class ReloadRefused(Event):
    """The configuration was to be read anew and is wrong: all stays as it was."""

    level = logging.ERROR
    line = "the configuration was not read anew: {cause}; all stays as it was"
    cause: str


@dataclass(frozen=True, slots=True)
class OutboxRefusing(Event):
    """The outbox began to refuse batches; they are kept in memory and offered again."""

    level = logging.ERROR
    line = "the outbox takes no samples: {cause}"
    cause: str


@dataclass(frozen=True, slots=True)
class OutboxAccepting(Event):
    """The outbox takes batches again."""

    line = "the outbox takes samples again; {refused} readings were refused meanwhile"
    refused: int


@dataclass(frozen=True, slots=True)
class MemoryFull(Event):
    """Memory for samples that the outbox does not take is used up: readings are refused until it does."""

    level = logging.ERROR
    line = "{samples} samples wait in memory for the outbox; readings are refused until it takes them"
    samples: int


@dataclass(frozen=True, slots=True)
class OutboxAway(Event):
    """The outbox cannot be opened; samples wait in memory."""

    level = logging.ERROR
    line = "{cause}; measuring goes on, trying again"
    cause: str


@dataclass(frozen=True, slots=True)
class OutboxSalvaged(Event):
    """The outbox file was damaged; what was intact went into a new one, the rest is declared dropped."""

    level = logging.ERROR
    line = (
        "the outbox was damaged and is now {aside}: {saved} batches saved, {gone} declared lost, a new epoch begins;"
        " replace the card"
    )
    aside: str
    saved: int
    gone: int


@dataclass(frozen=True, slots=True)
class OutboxMended(Event):
    """Something beside the batches no longer matched its hash and was put right; no batch is lost."""

    level = logging.WARNING
    line = (
        "the outbox was damaged beside its batches: {unsettled} are sent again, {clocks} clock maps forgotten,"
        " {sums} sums reckoned anew; replace the card"
    )
    unsettled: int
    clocks: int
    sums: int


@dataclass(frozen=True, slots=True)
class DropDeclared(Event):
    """Accepted samples were given up; the server is told like of any sample."""

    level = logging.ERROR
    line = "{batches} batches with {samples} samples were given up: {reason}"
    batches: int
    samples: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingResumed(Event):
    """A recording goes on behind what was accepted before this agent started."""

    line = "recording {sensor} goes on after {upto}: what is older was accepted before and is passed over"
    sensor: str
    upto: str


@dataclass(frozen=True, slots=True)
class ClockHeld(Event):
    """The time is not known; samples of this boot are not sent yet."""

    level = logging.WARNING
    line = (
        "waiting for the time: the clock is not synchronised (it says {said}); measuring and connecting go on, samples"
        " are kept {how_long}. On a machine whose clock is right without NTP set trust_system = true under [clock]"
    )
    said: str
    how_long: str


@dataclass(frozen=True, slots=True)
class ClockGivenUp(Event):
    """The time was waited for long enough; samples go out with what the board believes."""

    level = logging.WARNING
    line = "still without the time after {seconds:g} s; samples are sent with what the clock says, marked as unsynced"
    seconds: float


@dataclass(frozen=True, slots=True)
class ClockSynced(Event):
    """The time became known; what was measured before is corrected with it."""

    line = "the clock is synchronised; what was measured before is sent with its corrected time"


class Journal:
    """Where events go: one call writes the log line and the counter.

    Args:
        logger: takes the lines.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("wayside")
        self.counts: Counter[str] = Counter()
        """How often each event happened, by class name."""

    def emit(self, event: Event) -> None:
        """Count `event` and log it."""
        self.counts[type(event).__name__] += 1
        self._logger.log(event.level, "%s", event.text())
