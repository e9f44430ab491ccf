"""The bodies that the API answers with; OpenAPI is generated from them."""

from typing import Any

from pydantic import BaseModel, Field

from wayside_server.domain.account import Account
from wayside_server.domain.moments import to_text
from wayside_server.domain.reading import (
    DeadLetter,
    Device,
    DeviceLogLine,
    Incident,
    LatestSample,
    Refusal,
    Sample,
    Series,
)
from wayside_server.domain.refusals import MEANINGS
from wayside_shared.device_log import LEVELS
from wayside_shared.quality import Quality, label_of

LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
TIME = "UTC, RFC 3339 with microseconds"
QUALITY = "null when good; else a label, or 'code' and a number: why there is no value, or how far to trust it"


class DeviceAnswer(BaseModel):
    """A device as the server knows it."""

    name: str
    state: str = Field(
        description="'never seen', 'online', 'offline', 'revoked', or 'quiet': does not run the agent, and sent "
        "nothing for 15 min"
    )
    state_since: str | None = Field(description=TIME)
    last_seen: str | None = Field(description=TIME)
    created_at: str = Field(description=TIME)
    agent: str | None = Field(description="software and version that the device reported")
    group: str | None = Field(description="that it was enrolled into")

    @classmethod
    def of(cls, device: Device) -> "DeviceAnswer":
        """The answer for `device`."""
        since = None if device.state_since is None else to_text(device.state_since)
        seen = None if device.last_seen is None else to_text(device.last_seen)
        return cls(
            name=device.name,
            state=device.state,
            state_since=since,
            last_seen=seen,
            created_at=to_text(device.created_at),
            agent=device.agent,
            group=device.group,
        )


class DevicePage(BaseModel):
    """Devices in order of name."""

    devices: list[DeviceAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class SeriesAnswer(BaseModel):
    """One measured quantity."""

    name: str
    unit: str = Field(description="UCUM code")

    @classmethod
    def of(cls, series: Series) -> "SeriesAnswer":
        """The answer for `series`."""
        return cls(name=series.name, unit=series.unit)


class SeriesList(BaseModel):
    """The series of a device, by name and unit."""

    device: str
    series: list[SeriesAnswer]


class SampleAnswer(BaseModel):
    """One sample."""

    series: str
    unit: str = Field(description="UCUM code")
    time: str = Field(description=TIME)
    value: Any = Field(description="number, text, boolean or any JSON; null for a sample without a value")
    quality: str | None = Field(description=QUALITY)

    @classmethod
    def of(cls, sample: Sample) -> "SampleAnswer":
        """The answer for `sample`."""
        return cls(
            series=sample.series.name,
            unit=sample.series.unit,
            time=to_text(sample.at),
            value=sample.value,
            quality=_quality(sample),
        )


class LatestSampleAnswer(SampleAnswer):
    """The newest sample of a series. While it has no value, the other fields say since when, and what the last was."""

    absent_since: str | None = Field(description=f"the first sample without a value behind the last value; {TIME}")
    last_value: Any = Field(description="newest value while there is none; null otherwise")
    last_value_time: str | None = Field(description=f"{TIME}; null when there never was a value")

    @classmethod
    def of_latest(cls, latest: LatestSample) -> "LatestSampleAnswer":
        """The answer for `latest`."""
        newest, absence = latest.newest, latest.absence
        last = None if absence is None else absence.last
        return cls(
            **SampleAnswer.of(newest).model_dump(),
            absent_since=None if absence is None else to_text(absence.since),
            last_value=None if last is None else last.value,
            last_value_time=None if last is None else to_text(last.at),
        )


class Latest(BaseModel):
    """The newest sample of each series by event time."""

    device: str
    samples: list[LatestSampleAnswer]


class HistoryAnswer(SampleAnswer):
    """One sample, or with `aggregation` one bucket; `time` is when the bucket begins."""

    absent: int | None = Field(description="samples of the bucket that have no value; null for a sample")

    @classmethod
    def of(cls, sample: Sample) -> "HistoryAnswer":
        """The answer for `sample`."""
        return cls(**SampleAnswer.of(sample).model_dump(), absent=sample.absent)


class History(BaseModel):
    """A page of samples in order of time. It is the whole answer only when `next` is null."""

    device: str
    start: str = Field(description=TIME)
    end: str = Field(description=f"{TIME}; not included")
    samples: list[HistoryAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class DuplicatesCounted(BaseModel):
    """Rows counted one by one, from the same moment as the account."""

    rows: int
    ledger: int = Field(description="samples of the ledger's stored batches")
    duplicates_stored: int = Field(description="rows beyond those stored once; negative when rows are gone")


class AccountAnswer(BaseModel):
    """accepted = stored + pending + dropped + rejected + missing, in samples."""

    device: str
    accepted: int
    stored: int
    late: int = Field(description="of those stored, arrived more than five minutes after they were measured")
    estimated: int = Field(description="of those stored, timed between known times before and after their boot")
    estimate_err_ms: int = Field(description="largest bound of the error of the estimated ones, in milliseconds")
    unsynced: int = Field(description="of those stored, timed by a clock that was not synchronised")
    pending: int = Field(description="still on the device, as far as the server knows")
    dropped: int = Field(description="given up by the device, and declared")
    dropped_reasons: dict[str, int]
    rejected: int = Field(description="refused for good; their bytes are dead letters")
    rejected_reasons: dict[str, int]
    missing: int = Field(description="neither on the device nor in the ledger")
    duplicates_refused: int = Field(description="arrived again and were not stored again")
    plain_stored: int = Field(description="of those stored, sent without sequence numbers")
    plain_duplicates: int
    garbage: int = Field(description="messages in which no batch could be recognised")
    epochs: int
    sentence: str
    verified: DuplicatesCounted | None = Field(description="with ?verify=true")

    @classmethod
    def of(cls, account: Account) -> "AccountAnswer":
        """The answer for `account`."""
        verified = None
        if account.counted is not None:
            verified = DuplicatesCounted(
                rows=account.counted.rows,
                ledger=account.counted.ledger,
                duplicates_stored=account.counted.rows - account.stored,
            )
        return cls(
            device=account.device,
            accepted=account.accepted,
            stored=account.stored,
            late=account.late,
            estimated=account.estimated,
            estimate_err_ms=account.estimate_err_ms,
            unsynced=account.unsynced,
            pending=account.pending,
            dropped=account.dropped_total,
            dropped_reasons=dict(account.dropped),
            rejected=account.rejected_total,
            rejected_reasons=dict(account.rejected),
            missing=account.missing,
            duplicates_refused=account.duplicates,
            plain_stored=account.plain_stored,
            plain_duplicates=account.plain_duplicates,
            garbage=account.garbage,
            epochs=account.epochs,
            sentence=account.sentence,
            verified=verified,
        )


class DeadLetterAnswer(BaseModel):
    """A message that was refused for good."""

    id: int
    topic: str
    content_type: str | None
    code: str = Field(description="reject code of the wire contract")
    detail: str
    size: int = Field(description="bytes")
    received_at: str = Field(description=TIME)
    kept: bool = Field(description="whether its bytes are there; beyond the device's quota they are not")
    sha256: str | None = Field(description="of its bytes, hexadecimal")
    count: int = Field(description="how often it came, from received_at to last_at")
    last_at: str = Field(description=TIME)
    summed: bool = Field(
        description="stands for all messages of this code beyond the device's quota; the rest is the last one's"
    )

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterAnswer":
        """The answer for `letter`."""
        return cls(
            id=letter.id,
            topic=letter.topic,
            content_type=letter.content_type,
            code=letter.code,
            detail=letter.detail,
            size=letter.size,
            received_at=to_text(letter.received_at),
            kept=letter.kept,
            sha256=None if letter.sha256 is None else letter.sha256.hex(),
            count=letter.count,
            last_at=to_text(letter.last_at),
            summed=letter.summed,
        )


class DeadLetterPage(BaseModel):
    """Refused messages, newest first."""

    device: str
    dead_letters: list[DeadLetterAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class LogLineAnswer(BaseModel):
    """A line of a device's log."""

    id: int = Field(description="rises in the order of arrival")
    run: str = Field(description="one run of the agent")
    number: int = Field(description="rises within a run; where one is missing, lines were left out")
    time: str | None = Field(description=f"{TIME}; null when the device did not know the time")
    received_at: str = Field(description=TIME)
    level: str = Field(description="debug, info, warning, error or critical")
    module: str = Field(description="the part of the agent that said it")
    text: str
    event: str | None = Field(description="name of what happened; null for a line that is no event")
    data: dict[str, Any] = Field(description="the event's data")

    @classmethod
    def of(cls, line: DeviceLogLine) -> "LogLineAnswer":
        """The answer for `line`."""
        return cls(
            id=line.id,
            run=line.run,
            number=line.number,
            time=None if line.at is None else to_text(line.at),
            received_at=to_text(line.received_at),
            level=LEVEL_NAMES[line.level],
            module=line.module,
            text=line.text,
            event=line.event,
            data=dict(line.data),
        )


class LogPage(BaseModel):
    """Lines of a device's log, the last to come first."""

    device: str
    lines: list[LogLineAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class RefusalAnswer(BaseModel):
    """Refusals of one kind on one day."""

    kind: str
    meaning: str | None = Field(description="of the kind")
    day: str = Field(description="UTC, as in 2026-05-01")
    count: int
    last_at: str = Field(description=TIME)
    last_detail: str = Field(description="of the latest one")

    @classmethod
    def of(cls, refusal: Refusal) -> "RefusalAnswer":
        """The answer for `refusal`."""
        return cls(
            kind=refusal.kind,
            meaning=MEANINGS.get(refusal.kind),
            day=refusal.day.isoformat(),
            count=refusal.count,
            last_at=to_text(refusal.last_at),
            last_detail=refusal.last_detail,
        )


class RefusalPage(BaseModel):
    """Refusals, the latest day first."""

    refusals: list[RefusalAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


class IncidentAnswer(BaseModel):
    """Something that an operator should see once; when it happens again, it is counted."""

    id: int = Field(description="a new one each time that it happens again")
    device: str | None
    kind: str
    detail: str = Field(description="of the last time")
    created_at: str = Field(description=TIME)
    count: int = Field(description="how often it happened, from created_at to last_at")
    last_at: str = Field(description=TIME)

    @classmethod
    def of(cls, incident: Incident) -> "IncidentAnswer":
        """The answer for `incident`."""
        return cls(
            id=incident.id,
            device=incident.device,
            kind=incident.kind,
            detail=incident.detail,
            created_at=to_text(incident.created_at),
            count=incident.count,
            last_at=to_text(incident.last_at),
        )


class IncidentPage(BaseModel):
    """Incidents, newest first."""

    incidents: list[IncidentAnswer]
    next: str | None = Field(description="path of the next page; null when this is the last")


def _quality(sample: Sample) -> str | None:
    return None if sample.quality == Quality.GOOD else label_of(sample.quality)
