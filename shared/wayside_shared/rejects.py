"""Why data is refused or given up: the codes that acknowledgements, dead letters and accounts carry."""

from enum import Enum


class RejectCode(Enum):
    """Why the server refused a message for good. The value is what travels and is stored."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNSUPPORTED_TYPE = "unsupported_type"
    WRONG_DEVICE = "wrong_device"
    BAD_NAME = "bad_name"
    BAD_UNIT = "bad_unit"
    BAD_TEXT = "bad_text"
    NON_FINITE = "non_finite"
    OUT_OF_RANGE = "out_of_range"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    SEQ_REUSE = "seq_reuse"
    STORAGE_REFUSED = "storage_refused"
    TOO_MANY_SERIES = "too_many_series"
    TOO_MANY_EPOCHS = "too_many_epochs"
    TENANT_FULL = "tenant_full"

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return _REJECT_MEANINGS[self]


_REJECT_MEANINGS = {
    RejectCode.MALFORMED: "the bytes are not a message of the declared content type",
    RejectCode.TOO_LARGE: "the message, or what it inflates to, is over the limits of the wire contract",
    RejectCode.UNSUPPORTED_VERSION: "the batch names a version of the format that this server does not read",
    RejectCode.UNSUPPORTED_TYPE: "the content type is none of those that this server reads",
    RejectCode.WRONG_DEVICE: "the payload names another device than the topic does",
    RejectCode.BAD_NAME: "a series name breaks the rules for names",
    RejectCode.BAD_UNIT: "a unit is not a UCUM code that can be stored",
    RejectCode.BAD_TEXT: "a text holds a lone surrogate or a NUL, or is too long",
    RejectCode.NON_FINITE: "a value is NaN or infinite",
    RejectCode.OUT_OF_RANGE: "a number is outside what a 64-bit float or integer holds",
    RejectCode.TIME_OUT_OF_RANGE: "a time lies outside the years 2000 to 2099",
    RejectCode.SEQ_REUSE: "the sequence number was used before for other content",
    RejectCode.STORAGE_REFUSED: "the database refuses the batch, alone and repeatedly",
    RejectCode.TOO_MANY_SERIES: "the device, or its tenant, has as many series as it may have",
    RejectCode.TOO_MANY_EPOCHS: "the device has begun as many epochs as the server lets one begin",
    RejectCode.TENANT_FULL: "the tenant of the device has stored as many samples as it may",
}


class DropReason(Enum):
    """Why a device gave up a sample that it had accepted. Each drop is declared and delivered like data."""

    QUOTA = "quota"
    DISK_FLOOR = "disk_floor"
    CORRUPT = "corrupt"

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return _DROP_MEANINGS[self]


_DROP_MEANINGS = {
    DropReason.QUOTA: "the outbox reached its byte quota and its oldest batches made room",
    DropReason.DISK_FLOOR: "free disk space fell under the floor and the oldest batches made room",
    DropReason.CORRUPT: "a stored batch no longer matches its hash",
}
