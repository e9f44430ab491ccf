"""Named events: what happens on a board, each with its counter and its log line."""

import logging
import time
from collections import Counter, deque
from dataclasses import dataclass, fields
from typing import ClassVar, Final

RECENT: Final = 50
"""Events kept for someone who asks at the board: some screens full."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a log line. Subclasses set the level and the line, and are counted by their class name."""

    level: ClassVar[int] = logging.INFO
    origin: ClassVar[str] = "wayside_edge"
    """The module whose level in the log it has: where it happens."""
    line: ClassVar[str] = ""
    """The log line; braces hold names of fields, and `{stages_s}` the s behind a noun that `stages` counts."""

    def text(self) -> str:
        """The log line with this event's data."""
        values = {name: getattr(self, name) for name in (field.name for field in fields(self))}
        return self.line.format_map(values | {f"{name}_s": "" if value == 1 else "s" for name, value in values.items()})


@dataclass(frozen=True, slots=True)
class SensorFailing(Event):
    """Reads of a sensor began to fail."""

    origin = "wayside_edge.acquisition"
    level = logging.WARNING
    line = "sensor {sensor} began to fail: {cause}"
    sensor: str
    cause: str


@dataclass(frozen=True, slots=True)
class SensorRecovered(Event):
    """A sensor that failed gives readings again."""

    origin = "wayside_edge.acquisition"
    line = "sensor {sensor} works again after {failures} failure{failures_s}"
    sensor: str
    failures: int


@dataclass(frozen=True, slots=True)
class SensorStalled(Event):
    """A driver did not come back in time; its bus waits with it."""

    origin = "wayside_edge.acquisition"
    level = logging.WARNING
    line = "sensor {sensor} has not answered for {seconds:g} s; the lane of its bus is given up and begun anew"
    sensor: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LaneCrashed(Event):
    """A mistake ended the lane of a bus, which is begun anew; the sensor that was being read waits."""

    origin = "wayside_edge.acquisition"
    level = logging.ERROR
    line = "the lane of {lane} crashed at sensor {sensor} ({cause}); it is begun anew, the sensor in {seconds:g} s"
    lane: str
    sensor: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SensorQuarantined(Event):
    """A sensor hung, or crashed repeatedly; it is not read for a while, and its samples say so."""

    origin = "wayside_edge.acquisition"
    level = logging.ERROR
    line = "sensor {sensor} is quarantined for {seconds:g} s: {cause}"
    sensor: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SensorRetried(Event):
    """A quarantined sensor is tried again."""

    origin = "wayside_edge.acquisition"
    line = "sensor {sensor} is tried again"
    sensor: str


@dataclass(frozen=True, slots=True)
class ReadingRefused(Event):
    """A reading can never be stored; logged for the first of each series and reason."""

    origin = "wayside_edge.acquisition"
    level = logging.WARNING
    line = "readings of {series} are refused: {reason}"
    series: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """The configuration was read anew."""

    line = "the configuration was read anew; {stages} stage{stages_s} changed{rest}"
    stages: int
    rest: str


@dataclass(frozen=True, slots=True)
class ReloadedInPart(Event):
    """The configuration was read anew, but some stages do not work with it and stay as they were."""

    level = logging.ERROR
    line = "the configuration was read anew, but stage {refused} refused it; {stages} stage{stages_s} changed{rest}"
    refused: str
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

    origin = "wayside_edge.outbox"
    level = logging.ERROR
    line = "the outbox takes no samples: {cause}"
    cause: str


@dataclass(frozen=True, slots=True)
class OutboxAccepting(Event):
    """The outbox takes batches again."""

    origin = "wayside_edge.outbox"
    line = "the outbox takes samples again; {refused} readings were refused meanwhile"
    refused: int


@dataclass(frozen=True, slots=True)
class MemoryFull(Event):
    """Memory for samples that the outbox does not take is used up: readings are refused until it does."""

    origin = "wayside_edge.outbox"
    level = logging.ERROR
    line = "{samples} samples wait in memory for the outbox; readings are refused until it takes them"
    samples: int


@dataclass(frozen=True, slots=True)
class OutboxAway(Event):
    """The outbox cannot be opened; samples wait in memory."""

    origin = "wayside_edge.outbox"
    level = logging.ERROR
    line = "{cause}; measuring goes on, trying again"
    cause: str


@dataclass(frozen=True, slots=True)
class OutboxSalvaged(Event):
    """The outbox file was damaged; what was intact went into a new one, the rest is declared dropped."""

    origin = "wayside_edge.outbox"
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

    origin = "wayside_edge.outbox"
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

    origin = "wayside_edge.outbox"
    level = logging.ERROR
    line = "{batches} batches with {samples} samples were given up: {reason}"
    batches: int
    samples: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingResumed(Event):
    """A recording goes on behind what was accepted before this agent started."""

    origin = "wayside_edge.acquisition"
    line = "recording {sensor} goes on after {upto}: what is older was accepted before and is passed over"
    sensor: str
    upto: str


@dataclass(frozen=True, slots=True)
class ClockHeld(Event):
    """The time is not known; samples of this boot are not sent yet."""

    origin = "wayside_edge.hal.clock"
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

    origin = "wayside_edge.hal.clock"
    level = logging.WARNING
    line = "still without the time after {seconds:g} s; samples are sent with what the clock says, marked as unsynced"
    seconds: float


@dataclass(frozen=True, slots=True)
class ClockSynced(Event):
    """The time became known; what was measured before is corrected with it."""

    origin = "wayside_edge.hal.clock"
    line = "the clock is synchronised; what was measured before is sent with its corrected time"


@dataclass(frozen=True, slots=True)
class PartFailed(Event):
    """A part of the agent crashed or hung, and is begun anew, alone."""

    origin = "wayside_edge.health"
    level = logging.ERROR
    line = "{part} failed: {cause}; it is begun anew in {seconds:g} s"
    part: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PartQuarantined(Event):
    """A part of the agent failed repeatedly, and is left alone for longer."""

    origin = "wayside_edge.health"
    level = logging.ERROR
    line = "{part} failed repeatedly, and is tried again in {seconds:g} s: {cause}"
    part: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PartRestarted(Event):
    """A part of the agent that failed begins anew."""

    origin = "wayside_edge.health"
    line = "{part} begins anew"
    part: str


@dataclass(frozen=True, slots=True)
class AgentHung(Event):
    """Something that the agent cannot do without hangs: it feeds no watchdog any more, and ends itself."""

    origin = "wayside_edge.health"
    level = logging.CRITICAL
    line = "the agent hangs and is going to end: {cause}; stacks of its threads are in {stacks}"
    cause: str
    stacks: str


@dataclass(frozen=True, slots=True)
class AgentBack(Event):
    """What hung goes on before the agent had ended itself."""

    origin = "wayside_edge.health"
    level = logging.WARNING
    line = "what hung goes on; the agent does not end"


@dataclass(frozen=True, slots=True)
class WatchdogHeld(Event):
    """The agent has the board's watchdog."""

    origin = "wayside_edge.health"
    line = "watchdog {device} resets the board after {seconds:g} s without a sign of life"
    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WatchdogAway(Event):
    """The agent cannot have the board's watchdog, and does without."""

    origin = "wayside_edge.health"
    level = logging.WARNING
    line = "{cause}"
    cause: str


@dataclass(frozen=True, slots=True)
class RunStopped(Event):
    """The run before this one was stopped, by a person or for a reboot."""

    origin = "wayside_edge.health"
    line = "the agent before this one ended as asked: {how}"
    how: str


@dataclass(frozen=True, slots=True)
class RunBroken(Event):
    """The run before this one ended as nobody wanted."""

    origin = "wayside_edge.health"
    level = logging.WARNING
    line = "the agent before this one did not end as asked: {how}"
    how: str


@dataclass(frozen=True, slots=True)
class RunUnrecorded(Event):
    """How this run ends cannot be written down."""

    origin = "wayside_edge.health"
    level = logging.WARNING
    line = "the next start will not know how this run ended: {cause}"
    cause: str


@dataclass(frozen=True, slots=True)
class StatusAway(Event):
    """Nobody can ask the agent how it is, or read its measurements; it works all the same."""

    origin = "wayside_edge.health"
    level = logging.WARNING
    line = "{what} cannot be served: {cause}"
    what: str
    cause: str


class Journal:
    """Where events go: one call writes the log line and the counter."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """How often each event happened, by class name."""
        self.dropped: Counter[str] = Counter()
        """Accepted samples that were given up, by reason."""
        self.recent: deque[tuple[float, Event]] = deque(maxlen=RECENT)
        """The latest events, each with its time: seconds since 1970."""

    def emit(self, event: Event) -> None:
        """Count `event` and log it."""
        self.counts[type(event).__name__] += 1
        self.recent.append((time.time(), event))
        if isinstance(event, DropDeclared):
            self.dropped[event.reason] += event.samples
        logging.getLogger(event.origin).log(event.level, "%s", event.text(), extra={"event": event})
