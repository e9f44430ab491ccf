"""What is asked of stored telemetry: the questions, the answers, and the Protocol that answers them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Protocol, TypeAlias

from wayside_server.domain.access import Principal
from wayside_server.domain.account import Account
from wayside_server.domain.tenants import Tenant
from wayside_shared.quality import Quality

JsonValue: TypeAlias = "float | int | bool | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_PAGE = 1_000
QUIET_AFTER = timedelta(minutes=15)
"""Longer than devices without the agent usually pause: its own session tells when it ends, theirs do not."""
AVERAGE_DIGITS = 12
"""Significant digits of an average: no sensor resolves more, and what a double has beyond them is rounding error."""
MAX_WIDE_SERIES = 256
"""Columns of a wide export: each is one more sorted stream to merge."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the server knows it; times are UTC.

    `state` is 'never seen', 'online', 'offline', 'revoked', or 'quiet' for one without the agent that has sent nothing
    for `QUIET_AFTER`; it is so since it was last seen.
    """

    id: int
    name: str
    state: str
    state_since: datetime | None
    last_seen: datetime | None
    created_at: datetime
    agent: str | None
    clock_state: int | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Series:
    """One measured quantity of a device; `unit` is a UCUM code."""

    id: int
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a series at a time, UTC, or what became of those in a bucket that begins then.

    Args:
        series: of which.
        at: when.
        value: None for one without a value, and for a bucket without values.
        quality: a code of `Quality`, or of a later version of it; from `FIRST_ABSENT` on there is no value.
        absent: how many samples of a bucket have no value; None for a sample.
    """

    series: Series
    at: datetime
    value: JsonValue
    quality: int = Quality.GOOD
    absent: int | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """A series whose newest samples have no value.

    Args:
        since: time of the first one behind the last value, or of the first one ever.
        last: the newest sample with a value; None when there was none yet.
    """

    since: datetime
    last: Sample | None


@dataclass(frozen=True, slots=True)
class LatestSample:
    """The newest sample of a series; `absence` is there when it has no value."""

    newest: Sample
    absence: Absence | None = None


class Aggregation(Enum):
    """What becomes of the numbers in a bucket: `avg` has 12 significant digits, `count` is an integer of unit 1."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: at the samples of `series_id` at `at_us`, of which `skip` were given already."""

    at_us: int
    series_id: int
    skip: int


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Samples of a device in order of time.

    Args:
        device: its name.
        series: names to keep; empty for all.
        start_us: earliest time, UTC microseconds, included.
        end_us: latest time, excluded.
        descending: newest first.
        limit: most samples to return.
        after: where the page begins; None for the first.
        aggregation: with `bucket_us`, one value for each bucket of a numeric series in place of its samples, and how
            many of its samples have none.
        bucket_us: width of a bucket; buckets are aligned to 1970-01-01 UTC.
    """

    device: str
    series: Sequence[str]
    start_us: int
    end_us: int
    descending: bool = False
    limit: int = MAX_PAGE
    after: Place | None = None
    aggregation: Aggregation | None = None
    bucket_us: int = 0


class Format(Enum):
    """Of an export."""

    CSV = "csv"
    JSON = "json"


class Shape(Enum):
    """Of an export: `long` has a row for each sample, `wide` a row for each time and a column for each series."""

    LONG = "long"
    WIDE = "wide"


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """All samples of a device between two times (UTC microseconds, end excluded), as one document.

    With `qualities` a wide document has the qualities beside the values; a long one always has them.
    """

    device: str
    series: Sequence[str]
    start_us: int
    end_us: int
    format: Format
    shape: Shape
    qualities: bool = False


DEAD_LETTER_HEAD_BYTES = 128
"""How much of a dead letter a listing holds."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was refused for good; all its bytes are fetched apart.

    Args:
        id: its number.
        device: who sent it.
        topic: on which.
        content_type: the MQTT property, if there was one.
        code: why.
        detail: why in particular.
        head: its first bytes, up to `DEAD_LETTER_HEAD_BYTES`.
        size: bytes of all of it.
        received_at: when it came first.
        kept: whether the bytes are there; beyond the device's quota they are not.
        sha256: of the bytes; None for one that an older version entered.
        count: how often it came.
        last_at: when it came last.
        summed: whether it stands for all messages of its code beyond the device's quota of rows, of which topic,
            size, hash and detail are the last one's.
    """

    id: int
    device: str
    topic: str
    content_type: str | None
    code: str
    detail: str
    head: bytes
    size: int
    received_at: datetime
    kept: bool
    sha256: bytes | None
    count: int
    last_at: datetime
    summed: bool


@dataclass(frozen=True, slots=True)
class DeviceLogLine:
    """A line of a device's log.

    Args:
        id: rises in the order of arrival.
        run: one run of the agent.
        number: rises within a run; where one is missing, lines were left out.
        at: when it was said, UTC; None when the device did not know the time.
        received_at: when it came.
        level: 10 debug, 20 info, 30 warning, 40 error, 50 critical.
        module: the part of the agent that said it.
        text: what it said.
        event: the name of what happened; None for a line that is no event.
        data: the event's data.
    """

    id: int
    run: str
    number: int
    at: datetime | None
    received_at: datetime
    level: int
    module: str
    text: str
    event: str | None
    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refusals of one kind on one day (UTC); `domain.refusals.MEANINGS` has the kinds."""

    kind: str
    day: date
    count: int
    last_at: datetime
    last_detail: str


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that an operator should see once; `device` is None when it belongs to none.

    When it happens again, `count`, `last_at`, `detail` and `id` follow.
    """

    id: int
    device: str | None
    kind: str
    detail: str
    created_at: datetime
    count: int
    last_at: datetime


class TenantReading(Protocol):
    """Answers from committed state, for one tenant. A database away raises StorageError.

    A name that does not exist raises NotFoundError, and so, in the same words, does one that is another tenant's.
    """

    async def devices(self, *, after: str, search: str, limit: int) -> Sequence[Device]:
        """Devices in order of name, those behind `after` whose name contains `search`."""

    async def device(self, name: str) -> Device:
        """The device called `name`."""

    async def accounts(self, devices: Sequence[Device]) -> Mapping[str, Account]:
        """The account of each of `devices`, by name, all from one moment."""

    async def account(self, name: str, *, verify: bool = False) -> Account:
        """The account of one device; with `verify` its rows are counted too, in the same snapshot."""

    async def series(self, device: str) -> Sequence[Series]:
        """The series of a device, by name and unit."""

    async def latest(self, device: str, *, skip: int = 0, limit: int | None = None) -> Sequence[LatestSample]:
        """The newest sample of each series by event time, by name and unit: `limit` of them, behind `skip`."""

    async def history(self, query: HistoryQuery) -> Sequence[Sample]:
        """Up to `query.limit` samples or buckets; fewer mean that there are no more."""

    async def newer(self, marks: Mapping[int, int]) -> Sequence[Sample]:
        """Samples behind the marks (UTC microseconds by series id), in order of time; more may remain.

        Samples that share the last time are never parted. A series that is another tenant's has none.
        """

    def export(self, query: ExportQuery) -> AsyncGenerator[bytes, None]:
        """The document in pieces; close it when it is not read to its end.

        What can be known beforehand raises before the first piece; a later error breaks off the stream.
        """

    async def dead_letters(self, device: str, *, before_id: int, limit: int) -> Sequence[DeadLetter]:
        """Refused messages of a device, newest first, those with an id under `before_id`."""

    async def log(self, device: str, *, level: int, before_id: int, limit: int) -> Sequence[DeviceLogLine]:
        """Lines of a device's log from `level` on, the last to come first, those with an id under `before_id`."""

    async def refusals(self, *, before: tuple[date, str] | None, limit: int) -> Sequence[Refusal]:
        """Refusals by day and kind, the latest day first, those behind the day and kind of `before`."""

    async def incidents(self, device: str | None, *, before_id: int, limit: int) -> Sequence[Incident]:
        """Incidents of a device, or of all when it is None, newest first, those with an id under `before_id`."""

    async def dead_letter(self, device: str, letter_id: int) -> bytes:
        """The bytes of one refused message."""

    async def usage(self) -> Tenant:
        """The tenant itself, with what it has and may have; NotFoundError within none."""


class Reading(Protocol):
    """Where answers come from: nothing of a tenant is reached but through who asks."""

    def within(self, asker: Principal) -> TenantReading:
        """Answers for the tenant of `asker`, and of the installation what `access.sees_installation` lets it see."""

    async def check(self) -> None:
        """Returns when questions can be answered: the database is there and its schema is this program's."""
