"""What becomes of each batch: pure decisions over the ledger, taken inside the transaction that stores them.

The key of a batch is (device, epoch, sequence number); its ledger entry says how it was settled, once. A batch that
comes again with the same body is a duplicate and is confirmed; with another body it is a reused number and refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from wayside_server.domain.takeovers import Shared
from wayside_shared.batch import Envelope
from wayside_shared.columns import Block, Body
from wayside_shared.device_log import LogLine
from wayside_shared.errors import RejectedError
from wayside_shared.ranges import Ranges
from wayside_shared.rejects import RejectCode
from wayside_shared.session import DIGEST_BYTES, Ack, DeviceHello, Reject, ServerHello

STORED = "stored"
LATE_US = 300 * 1_000_000
"""A sample that arrives more than five minutes after it was measured counts as late."""
STORM_LIMIT = 1_000
"""Rejects an acknowledgement carries at the most; the rest are told when they come again."""

_NUMBER_BYTES = 50
"""A time and a value, and the row of the COPY that is made of them."""
_TEXT_BYTES = 250
_DROP_BYTES = 600
_LINE_BYTES = 1_000
"""Python objects: a text with its row; a ledger key with its row, its look-up and its entry; a line of log."""

Key: TypeAlias = tuple[str, bytes, int]
StreamKey: TypeAlias = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came from the broker.

    Args:
        device: the device that the topic names, which is the sender's certificate name.
        topic: the whole topic.
        content_type: the MQTT property, if there was one.
        payload: the bytes.
        received_us: when, UTC microseconds.
    """

    device: str
    topic: str
    content_type: str | None
    payload: bytes
    received_us: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch whose envelope could be read.

    Args:
        raw: the message.
        envelope: its envelope.
        digest: SHA-256 of its body, 32 bytes.
        content: the decoded body, or why it is refused.
    """

    raw: Raw
    envelope: Envelope
    digest: bytes
    content: Body | RejectedError

    @property
    def key(self) -> Key:
        """What the ledger knows it by."""
        return self.raw.device, self.envelope.epoch, self.envelope.seq

    @property
    def stream(self) -> StreamKey:
        """The stream it belongs to."""
        return self.raw.device, self.envelope.epoch


@dataclass(frozen=True, slots=True)
class Plain:
    """Samples of a device without our agent, kept once for each (series, time)."""

    raw: Raw
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Garbage:
    """A message in which no batch of its sender could be named.

    Args:
        raw: as it came.
        error: why it is refused.
        told: epoch and sequence number that the sender can be told of its refusal by, where it gave any; nothing else
            of its envelope is believed.
    """

    raw: Raw
    error: RejectedError
    told: tuple[bytes, int] | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """A device said hello."""

    raw: Raw
    hello: DeviceHello


@dataclass(frozen=True, slots=True)
class Presence:
    """A device's birth or will: `state` is 'online' or 'offline'."""

    raw: Raw
    state: str


@dataclass(frozen=True, slots=True)
class DeviceLog:
    """Lines of a device's log, of one run of its agent."""

    raw: Raw
    run: str
    lines: Sequence[LogLine]


Item: TypeAlias = Batch | Plain | Garbage | Hello | Presence | DeviceLog


@dataclass(frozen=True, slots=True)
class Entry:
    """How a sequence number was settled. `digest` is None for one that the device declared dropped."""

    digest: bytes | None
    outcome: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A ledger row to write."""

    key: Key
    before: int
    n: int
    digest: bytes | None
    outcome: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message set aside with its reason."""

    raw: Raw
    code: RejectCode
    detail: str


@dataclass(slots=True)
class Plan:
    """What to write for a group of batches, and what to tell their devices once that is committed.

    Args:
        entries: ledger rows.
        stored: batches whose samples are to be written.
        duplicates: samples refused because they are there already, by stream.
        dead: messages to set aside.
        confirmed: sequence numbers to acknowledge with their digests, by stream.
        rejects: sequence numbers to refuse, by stream.
    """

    entries: list[NewEntry] = field(default_factory=list)
    stored: list[Batch] = field(default_factory=list)
    duplicates: dict[StreamKey, int] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)
    confirmed: dict[StreamKey, dict[int, bytes]] = field(default_factory=dict)
    rejects: dict[StreamKey, list[Reject]] = field(default_factory=dict)


def cost(item: Item) -> int:
    """About how many bytes `item` takes in memory, decoded; a small message can hold much."""
    size = len(item.raw.payload)
    match item:
        case Batch(content=Body() as body):
            blocks: Sequence[Block] = body.blocks
            size += sum(_DROP_BYTES * len(drop.counts) for drop in body.drops)
        case Plain():
            blocks = item.blocks
        case DeviceLog():
            return size + _LINE_BYTES * len(item.lines)
        case _:
            return size
    return size + sum(len(block) * (_NUMBER_BYTES if block.texts is None else _TEXT_BYTES) for block in blocks)


def keys_of(batches: Iterable[Batch]) -> set[Key]:
    """Every ledger key that `decide` needs to know of: the batches' own and those their drops declare."""
    keys: set[Key] = set()
    for batch in batches:
        keys.add(batch.key)
        if isinstance(batch.content, Body):
            for drop in batch.content.drops:
                keys.update((batch.raw.device, drop.epoch, drop.first_seq + i) for i in range(len(drop.counts)))
    return keys


def decide(batches: Iterable[Batch], ledger: Mapping[Key, Entry]) -> Plan:
    """Settle `batches`, given what the ledger holds of `keys_of` them under the streams' locks."""
    plan = Plan()
    known = dict(ledger)
    for batch in batches:
        entry = known.get(batch.key)
        if entry is None:
            known[batch.key] = _settle(plan, batch)
            _take_drops(plan, batch, known)
        else:
            _repeat(plan, batch, entry)
    return plan


def refuse(plan: Plan, batch: Batch, error: RejectedError) -> None:
    """Set `batch` aside and tell its device."""
    plan.dead.append(DeadLetter(batch.raw, error.code, error.detail))
    plan.rejects.setdefault(batch.stream, []).append(Reject(batch.envelope.seq, error.code, error.detail))


def acks(plan: Plan, watermarks: Mapping[StreamKey, int]) -> list[tuple[str, Ack]]:
    """The acknowledgements to send after the commit, each with its device.

    Args:
        plan: the committed plan.
        watermarks: `contiguous_upto` of each stream after the commit.
    """
    told: list[tuple[str, Ack]] = []
    for stream in dict.fromkeys([*plan.confirmed, *plan.rejects]):
        confirmed = plan.confirmed.get(stream, {})
        seqs = sorted(confirmed)
        digests = b"".join(confirmed[seq][:DIGEST_BYTES] for seq in seqs)
        rejects = plan.rejects.get(stream, [])[:STORM_LIMIT]
        told.append((stream[0], Ack(stream[1], watermarks[stream], Ranges(seqs).pairs(), rejects, digests=digests)))
    return told


def refusals(garbage: Iterable[Garbage]) -> list[tuple[str, Ack]]:
    """What senders are told of messages that no stream of theirs has a place for, each with its device."""
    told: list[tuple[str, Ack]] = []
    for item in garbage:
        if item.told is not None:
            epoch, seq = item.told
            told.append((item.raw.device, Ack(epoch, 0, [], [Reject(seq, item.error.code, item.error.detail)])))
    return told[:STORM_LIMIT]


def _settle(plan: Plan, batch: Batch) -> Entry:
    """Settle a number that the ledger does not know."""
    if isinstance(batch.content, RejectedError):
        error = batch.content
        outcome = f"rejected:{error.code.value}"
        refuse(plan, batch, error)
    else:
        outcome = STORED
        plan.stored.append(batch)
        plan.confirmed.setdefault(batch.stream, {})[batch.envelope.seq] = batch.digest
    envelope = batch.envelope
    plan.entries.append(NewEntry(batch.key, envelope.before, envelope.n, batch.digest, outcome))
    return Entry(batch.digest, outcome)


def _repeat(plan: Plan, batch: Batch, entry: Entry) -> None:
    """Deal with a number that is settled already."""
    seq = batch.envelope.seq
    if entry.digest is not None and entry.digest != batch.digest:
        detail = f"batch {seq} came again with other content"
        refuse(plan, batch, RejectedError(RejectCode.SEQ_REUSE, detail))
        return
    plan.duplicates[batch.stream] = plan.duplicates.get(batch.stream, 0) + batch.envelope.n
    if entry.outcome.startswith("rejected:"):
        code = RejectCode(entry.outcome.removeprefix("rejected:"))
        plan.rejects.setdefault(batch.stream, []).append(Reject(seq, code, "refused before"))
    else:
        plan.confirmed.setdefault(batch.stream, {})[seq] = batch.digest


def _take_drops(plan: Plan, batch: Batch, known: dict[Key, Entry]) -> None:
    """Enter the drops that a stored batch declares; what is settled already stays as it is."""
    if not isinstance(batch.content, Body):
        return
    for drop in batch.content.drops:
        for i, n in enumerate(drop.counts):
            key = (batch.raw.device, drop.epoch, drop.first_seq + i)
            if key not in known:
                known[key] = Entry(None, f"dropped:{drop.reason.value}")
                plan.entries.append(NewEntry(key, 0, n, None, known[key].outcome))


@dataclass(slots=True)
class Incident:
    """What operators must see.

    Args:
        device: whom it happened to.
        kind: one of those in `domain.limits`.
        detail: what in particular, the last time.
        count: how often.
        first: whether it had never happened to the device before.
    """

    device: str
    kind: str
    detail: str
    count: int = 0
    first: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a committed group says to devices.

    Args:
        acks: acknowledgements with their devices.
        hellos: answers to hellos with their devices.
        stored: samples written.
        duplicates: samples refused because they were there already.
        dead: messages set aside.
        incidents: what operators must see.
        tenants: of the devices in the group, by their names.
    """

    acks: Sequence[tuple[str, Ack]]
    hellos: Sequence[tuple[str, ServerHello]]
    stored: int
    duplicates: int
    dead: int
    incidents: Sequence[Incident] = ()
    tenants: Mapping[str, int] = field(default_factory=dict)


class PoisonError(Exception):
    """The database refuses something in the group, whatever one does; it must be found and set aside."""


class IngestStore(Protocol):
    """Where ingest writes."""

    async def settle(self, items: Sequence[Item]) -> Settlement:
        """Store `items` in one transaction; when this returns, it is committed durably.

        Raises:
            StorageError: nothing is known to be stored; try the same items again.
            PoisonError: one of them cannot be stored; try them one by one.
        """

    async def count_refusals(self, kind: str, count: int, detail: str, device: str | None) -> None:
        """Enter `count` more refusals of `kind` today; `detail` is the latest one's line.

        They are the tenant's whose device `device` is, and the installation's without one or when it is not known.

        Raises:
            StorageError: they are not entered.
        """

    async def note_incidents(self, found: Sequence[Shared]) -> None:
        """Enter incidents that the broker's log tells of; names that are no device's are passed over.

        Raises:
            StorageError: they are not entered.
        """
