"""The layout of every CBOR message, as data: the reference page is made from it, tests hold the encoders to it.

A field without a meaning of its own has it in the docstring of the layout's class, under the same name.
"""

from dataclasses import dataclass

from wayside_shared import batch, session
from wayside_shared.clock import ClockMap
from wayside_shared.topics import Channel
from wayside_shared.values import Kind


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Args:
        key: its key in a map, its place in an array.
        name: what code and tables call it.
        type: `uint`, `int`, `text`, `bytes`, `array`, `map`, `typed array`, `null`, or several with ` or `.
        meaning: what it says; empty when the class's docstring says it.
    """

    key: int
    name: str
    type: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """A CBOR map or array.

    Args:
        title: its heading.
        container: `map` or `array`.
        about: one paragraph.
        fields: what it holds.
        model: the class whose docstring explains the fields.
        content_type: of the whole message; None for a part of one.
        channel: where it travels; None for a part of a message.
    """

    title: str
    container: str
    about: str
    fields: tuple[Field, ...]
    model: type | None = None
    content_type: str | None = None
    channel: Channel | None = None


CLOCK = Layout(
    "Clock map",
    "array",
    "The same instant on both clocks of the device. UTC of a sample = its boot time + `wall_ns` − `boottime_ns`.",
    (
        Field(0, "boottime_ns", "uint"),
        Field(1, "wall_ns", "uint"),
        Field(2, "state", "uint"),
        Field(3, "err_ms", "uint"),
    ),
    ClockMap,
)
COUNTERS = Layout(
    "Counters",
    "array",
    "The stream's state when the message was sent.",
    (
        Field(0, "next_seq", "uint"),
        Field(1, "accepted", "uint"),
        Field(2, "pending_from", "uint"),
        Field(3, "pending_before", "uint"),
    ),
    batch.Counters,
)
ENVELOPE = Layout(
    "Batch",
    "map",
    "The envelope may differ from one transmission of a batch to the next. The body never does: its SHA-256, as it "
    "travels, tells a repeated batch from a sequence number that was used twice.",
    (
        Field(0, "version", "uint", f"{batch.VERSION}"),
        Field(1, "device", "text"),
        Field(2, "epoch", "bytes"),
        Field(3, "first_seq", "uint"),
        Field(4, "seq", "uint"),
        Field(5, "before", "uint"),
        Field(6, "n", "uint"),
        Field(7, "boot_id", "bytes"),
        Field(8, "clock", "array"),
        Field(9, "counters", "array"),
        Field(10, "body", "bytes", "the body below as CBOR, deflated (zlib format, RFC 1950)"),
    ),
    batch.Envelope,
    batch.CONTENT_TYPE,
    Channel.UP,
)
BODY = Layout(
    "Body of a batch",
    "map",
    "The samples, by series, and the drops that the device declares.",
    (
        Field(0, "t0", "int", "the earliest boot time in the batch, nanoseconds; 0 in a batch without samples"),
        Field(1, "times", "array", "time columns; series with the same times share one"),
        Field(2, "series", "array", "one entry a series"),
        Field(3, "drops", "array", "declared drops; absent when there are none"),
    ),
)
TIMES = Layout(
    "Time column",
    "array",
    "Times as differences of differences: a steady tick costs nothing.",
    (
        Field(0, "n", "uint", "times in the column"),
        Field(1, "exponent", "uint", "0, 3, 6 or 9: what follows is in units of 10**exponent nanoseconds"),
        Field(2, "first", "int", "the first time, from `t0`"),
        Field(3, "step", "int", "from the first time to the second; 0 when there is one time"),
        Field(4, "changes", "typed array or null", "n − 2 changes from each step to the next; null when all are 0"),
    ),
)
JITTER = Layout(
    "Time column with jitter",
    "array",
    "Stands in place of a time column, told from it by its sixth part: time i is `first` + i × `step` + "
    "`distances`[i]. Readings that are each a little late take fewer bits so. Exponents and `t0` as above.",
    (
        Field(0, "n", "uint", "times in the column"),
        Field(1, "exponent", "uint", "as in a time column"),
        Field(2, "first", "int", "the first tick, from `t0`"),
        Field(3, "step", "int", "from one tick to the next"),
        Field(4, "changes", "null", "there are none"),
        Field(5, "distances", "typed array", "n distances, each of a time from its tick"),
    ),
)
SERIES = Layout(
    "Series",
    "array",
    "The values of one series. Fields from place 4 on depend on the kind.",
    (
        Field(0, "name", "text"),
        Field(1, "unit", "text"),
        Field(2, "times", "uint", "index of its time column"),
        Field(3, "kind", "uint", "how the values are encoded"),
    ),
    batch.Column,
)
KINDS = {
    Kind.SCALED: "`exponent` (−18 to 18), `first`, `deltas` (typed array of n − 1, or null when all are 0): each "
    "running sum times 10**exponent is a value, of at most 2**53 before scaling",
    Kind.FLOAT: "a typed array of n 64-bit floats (tag 86), all finite",
    Kind.BOOLEAN: "a typed array of n bytes (tag 64), each 0 or 1",
    Kind.TEXT: "an array of n texts",
    Kind.JSON: "an array of n texts, each a JSON document",
    Kind.QUALITY: "a typed array of n bytes (tag 64), each a quality but 0. One below 64 speaks of the value "
    "that another entry of the series has at that time; one from 64 on is a sample without a value, and counts in `n`",
}
"""What follows the kind in a series."""
DROP = Layout(
    "Declared drop",
    "array",
    "Accepted batches that the device has given up, delivered like data.",
    (
        Field(0, "epoch", "bytes"),
        Field(1, "first_seq", "uint"),
        Field(2, "counts", "array"),
        Field(3, "reason", "text"),
    ),
    batch.Drop,
)
ACK = Layout(
    "Acknowledgement",
    "map",
    "Sent after the commit, at QoS 0. It confirms batches by number and digest; a lost one costs one retransmission. "
    "Only this lets a device delete.",
    (
        Field(0, "epoch", "bytes"),
        Field(1, "upto", "uint"),
        Field(2, "ranges", "array"),
        Field(3, "rejects", "array", "`[seq, code, detail]` for each batch of this group that was refused"),
        Field(4, "slow_ms", "uint"),
        Field(5, "digests", "bytes"),
    ),
    session.Ack,
    session.ACK_CONTENT_TYPE,
    Channel.ACK,
)
DEVICE_HELLO = Layout(
    "Hello of the device",
    "map",
    "Said on every connect.",
    (
        Field(0, "protocol", "uint", f"{session.PROTOCOL}"),
        Field(1, "nonce", "bytes"),
        Field(2, "epoch", "bytes"),
        Field(3, "first_seq", "uint"),
        Field(4, "acked_upto", "uint"),
        Field(5, "counters", "array"),
        Field(6, "boot_id", "bytes"),
        Field(7, "clock", "array"),
        Field(8, "agent", "text"),
    ),
    session.DeviceHello,
    session.HELLO_CONTENT_TYPE,
    Channel.HELLO_DEVICE,
)
SERVER_HELLO = Layout(
    "Hello of the server",
    "map",
    "The answer, read from committed state. Ahead of the device: its card was restored or cloned, and it starts a new "
    "epoch. Behind what it once acknowledged: the server was restored, and the device sends its retained tail again.",
    (
        Field(0, "protocol", "uint", f"{session.PROTOCOL}"),
        Field(1, "nonce", "bytes"),
        Field(2, "epoch", "bytes"),
        Field(3, "contiguous_upto", "uint"),
        Field(4, "max_seq", "uint"),
        Field(5, "server", "text"),
        Field(6, "ranges", "array"),
    ),
    session.ServerHello,
    session.HELLO_CONTENT_TYPE,
    Channel.HELLO_SERVER,
)
LAYOUTS = (ENVELOPE, CLOCK, COUNTERS, BODY, TIMES, JITTER, SERIES, DROP, ACK, DEVICE_HELLO, SERVER_HELLO)
"""All of them, in the order of the reference page."""
