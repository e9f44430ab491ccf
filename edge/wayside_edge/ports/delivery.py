"""From a closed batch to the broker: clocks, the outbox and the way out."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wayside_shared.batch import Counters
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.ranges import Ranges
from wayside_shared.session import Ack, Reject, ServerHello


class Clock(Protocol):
    """The clocks of this machine; injected so that tests own time."""

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME in nanoseconds."""

    def wall_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds since 1970."""

    def synced(self) -> bool:
        """Whether the kernel calls the wall clock synchronised."""

    def boot_id(self) -> bytes:
        """The 16 bytes that name this boot."""


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """A batch as the outbox takes it.

    Args:
        n: samples in it.
        body: the deflated body (`wayside_shared.batch.encode_body`); its times are boot times of `boot_id`.
        boot_id: the boot whose clock stamped it, 16 bytes.
        clock: the clock map when it was closed; `ABSOLUTE` when its times are UTC already (a recording).
        recorded: of a recording, the latest time in it by series, UTC nanoseconds.
        computed: of the samples, those that stages gave.
    """

    n: int
    body: bytes
    boot_id: bytes
    clock: ClockMap
    recorded: Mapping[str, int] = field(default_factory=dict)
    computed: int = 0


ABSOLUTE = ClockMap(0, 0, ClockState.SYNCED)
"""The map of a batch whose times are UTC nanoseconds as they stand."""


@dataclass(frozen=True, slots=True)
class EpochState:
    """The stream that new batches go to.

    Args:
        epoch: its 16 random bytes.
        first_seq: the first number it gave out.
        accepted: samples accepted in it so far.
        acked_upto: the highest watermark that the server has acknowledged (first_seq - 1 when none).
    """

    epoch: bytes
    first_seq: int
    accepted: int
    acked_upto: int


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A stored batch, whole and with its hash verified."""

    seq: int
    epoch: bytes
    first_seq: int
    before: int
    n: int
    boot_id: bytes
    clock: ClockMap
    body: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did.

    Args:
        added: numbers now pending: the batch's own is the last, before it stand those of tombstones.
        dropped: numbers given up for it.
        dropped_samples: samples in those.
    """

    added: Sequence[int]
    dropped: Sequence[int]
    dropped_samples: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What an acknowledgement did to the rows.

    Args:
        delivered: numbers now delivered.
        refused: numbers set aside, with the server's reason.
        refused_samples: samples in those.
        requeued: numbers given up for new ones of the current epoch, because the server holds other content there.
        behind: the watermark it carries lies below one acknowledged before.
    """

    delivered: Sequence[int]
    refused: Sequence[Reject]
    refused_samples: int
    requeued: Sequence[tuple[int, int]]
    behind: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """Batches ready to publish, the stream's counters, and the numbers found damaged and declared dropped."""

    rows: Sequence[StoredBatch]
    current: EpochState
    counters: Counters
    corrupt: Sequence[int]
    declared: Sequence[int]


@dataclass(frozen=True, slots=True)
class Status:
    """The outbox at a glance: samples, bytes, and the last UTC time known for certain, in nanoseconds (0: none)."""

    epoch: EpochState
    counters: Counters
    used_bytes: int
    pending: Ranges
    known_ns: int = 0


class Outbox(Protocol):
    """Where a sample becomes accepted."""

    async def append(self, batch: ClosedBatch) -> object:
        """Make `batch` durable and number it; when this returns, its samples are accepted.

        Raises:
            OutboxError: it was not accepted; nothing of it will be sent unless it is appended again.
        """


class OutboxDelivery(Protocol):
    """The outbox as the uplink sees it. Every call is one transaction and raises OutboxError when the disk refuses."""

    async def load(self, seqs: Iterable[int]) -> Loaded:
        """The batches `seqs` as far as they are still there, each verified; damaged ones are declared dropped."""

    async def settle(self, ack: Ack) -> Settled:
        """Take in an acknowledgement."""

    async def rewind(self, hello: ServerHello) -> Sequence[int]:
        """Go back with the server: what is marked delivered and it does not have is pending again.

        Returns:
            The numbers.
        """

    async def streams(self) -> Sequence[EpochState]:
        """Every stream of which there are batches; the current one is the last."""

    async def fork(self) -> None:
        """Start a new epoch."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message from the broker."""

    topic: str
    payload: bytes
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the broker, QoS 1; `taken` is called in the event loop once the broker has it."""

    topic: str
    payload: bytes
    content_type: str
    retain: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)
    taken: Callable[[], None] | None = None


class Connection(Protocol):
    """A live session with the broker. It ends for good when the link does; a new one is opened by the transport."""

    def publish(self, message: Outgoing) -> None:
        """Hand `message` over; it is sent as the link allows.

        Raises:
            TransientError: the session is over.
        """

    def incoming(self) -> AsyncIterator[Incoming]:
        """Messages as they come; ends when the session does."""

    @property
    def ended(self) -> str:
        """Why the session is over, for a person; empty while it stands."""

    async def close(self) -> None:
        """Say goodbye, so that the broker sends no will."""


class Transport(Protocol):
    """The way to the broker."""

    async def connect(self) -> Connection:
        """Open a session, subscribed to this device's topics.

        Raises:
            TransientError: the broker is away, or refuses this device; the message says which.
        """
