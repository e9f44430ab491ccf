"""What the parts of the agent tell of themselves, for the board's own series, for status and for Prometheus."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from wayside_edge.ports.delivery import Outgoing
from wayside_edge.ports.sensing import Reading

MeasureSource: TypeAlias = Callable[[], Iterable[Reading]]
"""Gives readings of the agent itself, each time it is asked; called in the event loop, so it must be quick. It raises
BusError when this machine has no answer. A name `a.b` is the measurement `a` of the thing `b` (a sensor, a stage)."""


REJECTED_AFTER = 3
"""A broker that is restarted ends one attempt, hardly two, and no third: those are seconds apart."""


@dataclass(frozen=True, slots=True)
class OutboxAccount:
    """What the outbox holds now.

    Args:
        accepted: samples accepted in the current epoch.
        pending_samples: accepted, and not confirmed by the server.
        pending_batches: the batches that they are in.
        oldest_ns: age of the oldest of those in nanoseconds; None without any, and when it is of a boot whose time is
            not known.
        used_bytes: what all its batches take, with the delivered ones that are kept.
    """

    accepted: int
    pending_samples: int
    pending_batches: int
    oldest_ns: int | None
    used_bytes: int


@dataclass(frozen=True, slots=True)
class SensorState:
    """How one sensor fares.

    Args:
        name: the sensor's.
        reads: reads that gave readings, or had none to give.
        failed: starts and reads that failed.
        missed: reads left out, because the one before took too long or the sensor waited for its start.
        trouble: why it fails now; None when it does not.
        last: what it gave last.
        last_ns: boot time of the end of that read; 0 when there was none.
        late_ns: 99 of 100 reads began no later than this after they were due.
    """

    name: str
    reads: int = 0
    failed: int = 0
    missed: int = 0
    trouble: str | None = None
    last: Sequence[Reading] = ()
    last_ns: int = 0
    late_ns: int = 0


@dataclass(frozen=True, slots=True)
class StageState:
    """How one stage fares.

    Args:
        name: the stage's.
        kind: what it runs, `wasm` or `tflite`.
        file: the module or model.
        sha256: of that file.
        pid: its worker's process; None while there is none.
        blocks: that it worked on.
        failures: of its workers.
        given_up: readings that it will never get.
        waiting: readings that wait for it.
        used_s: time that the module or the interpreter took, in seconds.
        quarantined: whether it is left alone for now.
        trouble: why it fails now; None when it does not.
        unfed: inputs that no series matched so far.
        last: what it gave last, of each of its series.
        last_ns: boot time when it gave that; 0 when it gave nothing yet.
    """

    name: str
    kind: str
    file: str
    sha256: str
    pid: int | None = None
    blocks: int = 0
    failures: int = 0
    given_up: int = 0
    waiting: int = 0
    used_s: float = 0.0
    quarantined: bool = False
    trouble: str | None = None
    unfed: Sequence[str] = ()
    last: Sequence[Reading] = ()
    last_ns: int = 0


@dataclass(frozen=True, slots=True)
class LinkState:
    """How the link to the broker is.

    Args:
        connected: whether a session stands.
        since_ns: boot time since when it is so.
        sessions: sessions that came about.
        delivered: batches that the server confirmed.
        refused: batches that the server refused for good.
        refused_samples: samples in those.
        refusal: why the server refused the latest of them; empty when it refused none.
        trouble: why the last session ended or did not come about; empty when none did.
        rejections: how often in a row the broker ended a session of this device before it came about.
    """

    connected: bool = False
    since_ns: int = 0
    sessions: int = 0
    delivered: int = 0
    refused: int = 0
    refused_samples: int = 0
    refusal: str = ""
    trouble: str = ""
    rejections: int = 0

    @property
    def rejected(self) -> bool:
        """Whether the broker refuses this device, rather than being restarted just then."""
        return self.rejections >= REJECTED_AFTER


@dataclass(frozen=True, slots=True)
class IntakeState:
    """What became of everything read: produced = accepted + refused + waiting."""

    produced: int = 0
    accepted: int = 0
    waiting: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class Spare(Protocol):
    """Messages for a link that has nothing else to carry."""

    def began(self) -> None:
        """A session began: what was on its way in the last one may be lost, and goes again."""

    def next(self) -> Outgoing | None:
        """The next message; None when there is none, or one is still on its way."""
