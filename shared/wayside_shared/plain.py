"""Plain JSON and SenML, for devices that do not run our agent.

They carry no sequence numbers, so the server keeps one sample for each (series, time). Both readers return the same
records; `to_blocks` gathers them into columns.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import isfinite
from typing import Any, cast

import numpy as np

from wayside_shared import cbor
from wayside_shared.batch import MAX_MESSAGE_BYTES, MAX_SAMPLES, MAX_SERIES
from wayside_shared.clock import EARLIEST_NS, LATEST_NS, NS_PER_MS, NS_PER_S, NS_PER_US, check_range
from wayside_shared.columns import Block
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import check_series_name
from wayside_shared.rejects import RejectCode
from wayside_shared.text import check_text, parse_json, to_json
from wayside_shared.units import check_unit, from_senml, senml_suffix

JSON_TYPE = "application/json"
SENML_JSON_TYPE = "application/senml+json"
SENML_CBOR_TYPE = "application/senml+cbor"

SENML_VERSIONS = (*range(1, 11), 26)
"""RFC 8428 is version 10, and its own examples name older ones; 26 adds the secondary units (RFC 9100 section 4)."""
MAX_RECORDS = 5_000
"""Values in one message, each an object of its own to a server: 45 ms."""
NAMELESS = "value"
"""The series of a record that names the device and nothing below it."""

_RELATIVE_S = 1 << 28
"""SenML times below this many seconds are relative to now (RFC 8428 section 4.5.3)."""

_CBOR_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""RFC 8428 section 6, table 4."""
_KNOWN = frozenset(_CBOR_LABELS.values())


@dataclass(frozen=True, slots=True)
class Record:
    """One value of one series.

    Args:
        name: the series.
        unit: its UCUM code.
        time_ns: UTC nanoseconds.
        value: a finite number, or the JSON text of anything else.
    """

    name: str
    unit: str
    time_ns: int
    value: float | str


def read_json(data: bytes, device: str, now_ns: int) -> list[Record]:
    """The records of `{"ts": …, "values": {…}}`, or of a list of those.

    `ts` is milliseconds since 1970 or an RFC 3339 text; without it the time of receipt counts. Optional members:
    `units`, UCUM codes by series; `device`, which must then be the sender's.

    Args:
        data: the payload.
        device: the device of the topic.
        now_ns: the time of receipt, UTC nanoseconds.

    Raises:
        RejectedError: it is no such JSON; nothing else, whatever the bytes.
    """
    _check_size(data)
    value = parse_json(data)
    entries = value if type(value) is list else [value]
    return _whole(record for entry in entries for record in _read_entry(entry, device, now_ns))


def read_senml(data: bytes, content_type: str, device: str, now_ns: int) -> list[Record]:
    """The records of a SenML pack (RFC 8428), JSON or CBOR by `content_type`.

    A name that begins with the device's own name and `/`, `:` or `_` loses that part; a `urn:dev:` name (RFC 9039) must
    be the device's and loses all of that. What is left names the series, `value` when nothing is. Where SenML has
    several units for one UCUM code the name gets a suffix: `.lat`, `.lon` and `.level`; a sum adds `.sum`.

    Args:
        data: the payload.
        content_type: `SENML_JSON_TYPE` or `SENML_CBOR_TYPE`.
        device: the device of the topic.
        now_ns: the time of receipt, UTC nanoseconds.

    Raises:
        RejectedError: it is no such pack; nothing else, whatever the bytes.
    """
    _check_size(data)
    value = parse_json(data) if content_type == SENML_JSON_TYPE else cbor.loads(data)
    if type(value) is not list:
        raise RejectedError(RejectCode.MALFORMED, "a SenML pack is a list of records")
    return _whole(_read_senml_pack(value, device, now_ns))


def _read_senml_pack(pack: list[Any], device: str, now_ns: int) -> Iterator[Record]:
    base: dict[str, Any] = {}
    for item in pack[: MAX_RECORDS + 1]:
        entry = _labelled(item)
        if entry.get("bver", 10) not in SENML_VERSIONS:
            raise RejectedError(RejectCode.UNSUPPORTED_VERSION, "a SenML version that this server does not read")
        base.update({key: entry[key] for key in ("bn", "bt", "bu", "bv", "bs") if key in entry})
        yield from _read_senml_record(entry, base, device, now_ns)
    if len(pack) > MAX_RECORDS:
        raise _too_many()


def _whole(found: Iterator[Record]) -> list[Record]:
    """All of `found`, read no further than a message may hold."""
    records = list(islice(found, MAX_RECORDS + 1))
    if len(records) > MAX_RECORDS:
        raise _too_many()
    if not records:
        raise RejectedError(RejectCode.MALFORMED, "there is no value in it")
    return records


def _too_many() -> RejectedError:
    return RejectedError(RejectCode.TOO_LARGE, f"more than {MAX_RECORDS} values; send them in several messages")


def to_blocks(records: Iterable[Record]) -> list[Block]:
    """`records` by series, numbers apart from texts, each (series, time) once: the last one given counts.

    Raises:
        RejectedError: there are more records or series than a message may hold; code TOO_LARGE.
    """
    numbers: dict[tuple[str, str], dict[int, float]] = {}
    texts: dict[tuple[str, str], dict[int, str]] = {}
    for record in records:
        key, time_us = (record.name, record.unit), record.time_ns // NS_PER_US
        if isinstance(record.value, str):
            texts.setdefault(key, {})[time_us] = record.value
        else:
            numbers.setdefault(key, {})[time_us] = record.value
    samples = sum(map(len, numbers.values())) + sum(map(len, texts.values()))
    if samples > MAX_SAMPLES or len(numbers) + len(texts) > MAX_SERIES:
        raise RejectedError(RejectCode.TOO_LARGE, f"more than {MAX_SAMPLES} samples or {MAX_SERIES} series")
    blocks = [
        Block(name, unit, np.fromiter(points, np.int64), numbers=np.fromiter(points.values(), np.float64))
        for (name, unit), points in numbers.items()
    ]
    blocks.extend(
        Block(name, unit, np.fromiter(points, np.int64), texts=list(points.values()))
        for (name, unit), points in texts.items()
    )
    return blocks


def _check_size(data: bytes) -> None:
    if len(data) > MAX_MESSAGE_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"message of {len(data)} bytes; the limit is {MAX_MESSAGE_BYTES}")


def _read_entry(entry: object, device: str, now_ns: int) -> Iterator[Record]:
    if type(entry) is not dict or type(entry.get("values")) is not dict:
        raise RejectedError(RejectCode.MALFORMED, 'each entry must be {"ts": …, "values": {…}}')
    if entry.get("device", device) != device:
        raise RejectedError(RejectCode.WRONG_DEVICE, f"the payload names another device than {device}")
    units = entry.get("units", {})
    if type(units) is not dict or any(type(unit) is not str for unit in units.values()):
        raise RejectedError(RejectCode.BAD_UNIT, '"units" must give a text for each series')
    time_ns = _json_time(entry["ts"]) if "ts" in entry else now_ns
    check_range(time_ns, time_ns)
    for name, value in entry["values"].items():
        yield Record(check_series_name(name), check_unit(units.get(name, "1")), time_ns, _value(value))


def _json_time(ts: object) -> int:
    if type(ts) in (int, float) and EARLIEST_NS <= cast("float", ts) * NS_PER_S < LATEST_NS:
        # As milliseconds that would be a day of early 1970, which is never right.
        raise RejectedError(
            RejectCode.TIME_OUT_OF_RANGE, "ts looks like seconds; it must be milliseconds since 1970: multiply by 1000"
        )
    if type(ts) is int:
        return ts * NS_PER_MS
    if type(ts) is float:
        return _rounded(ts, NS_PER_MS // NS_PER_US) * NS_PER_US
    if type(ts) is str:
        try:
            moment = datetime.fromisoformat(ts)
        except ValueError as error:
            raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "ts is no RFC 3339 time") from error
        if moment.tzinfo is None:
            raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "ts has no zone; write Z or an offset")
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * NS_PER_US
    raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "ts must be milliseconds since 1970 or an RFC 3339 text")


def _rounded(number: float, scale: int) -> int:
    scaled = number * scale
    if not isfinite(scaled):
        raise RejectedError(RejectCode.TIME_OUT_OF_RANGE, "a time lies beyond all years")
    return round(scaled)


def _value(value: object) -> float | str:
    if type(value) is int or type(value) is float:
        return _number(value)
    if type(value) is str:
        return to_json(check_text(value))
    return to_json(value)


def _number(value: object) -> float:
    if type(value) is not int and type(value) is not float:
        raise RejectedError(RejectCode.MALFORMED, f"a number was expected, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError as error:
        raise RejectedError(RejectCode.OUT_OF_RANGE, "a number is beyond a 64-bit float") from error
    if not isfinite(number):
        raise RejectedError(RejectCode.NON_FINITE, "a value is NaN or infinite")
    return number


def _labelled(item: object) -> dict[str, Any]:
    """A SenML record with text labels; refuses what RFC 8428 says must be understood (labels that end in `_`)."""
    if type(item) is not dict:
        raise RejectedError(RejectCode.MALFORMED, "a SenML record is a map")
    entry = {_CBOR_LABELS.get(key, str(key)) if type(key) is int else str(key): value for key, value in item.items()}
    if any(key.endswith("_") and key not in _KNOWN for key in entry):
        raise RejectedError(RejectCode.MALFORMED, "a SenML record has a label that must be understood and is not")
    return entry


def _read_senml_record(entry: dict[str, Any], base: dict[str, Any], device: str, now_ns: int) -> Iterator[Record]:
    values = list(_senml_values(entry, base))
    if not values:
        return
    name = _own_name(_text(base.get("bn", "")) + _text(entry.get("n", "")), device)
    # A base unit that was given for the pack's numbers says nothing about its texts and booleans.
    unit = _text(entry.get("u", base.get("bu", "1") if entry.keys().isdisjoint(("vs", "vb", "vd")) else "1"))
    time_ns = _senml_time(base.get("bt", 0)) + _senml_time(entry.get("t", 0))
    if time_ns < _RELATIVE_S * NS_PER_S:
        time_ns += now_ns
    check_range(time_ns, time_ns)
    for label, value in values:
        yield Record(check_series_name(name + senml_suffix(unit) + label), from_senml(unit), time_ns, value)


def _senml_time(seconds: object) -> int:
    """Whole numbers stay exact; floats are rounded to the microsecond they can hold."""
    number = _number(seconds)
    return seconds * NS_PER_S if isinstance(seconds, int) else _rounded(number, 1_000_000) * NS_PER_US


def _senml_values(entry: dict[str, Any], base: dict[str, Any]) -> Iterator[tuple[str, float | str]]:
    if "v" in entry or ("bv" in base and not entry.keys() & {"vs", "vb", "vd", "s"} and "n" in entry):
        yield "", _number(_number(entry.get("v", 0)) + _number(base.get("bv", 0)))
    if "vs" in entry:
        yield "", to_json(check_text(entry["vs"]))
    if "vb" in entry:
        if type(entry["vb"]) is not bool:
            raise RejectedError(RejectCode.MALFORMED, "vb must be true or false")
        yield "", to_json(entry["vb"])
    if "vd" in entry:
        yield "", to_json(_data(entry["vd"]))
    if "s" in entry:
        yield ".sum", _number(_number(entry["s"]) + _number(base.get("bs", 0)))


def _data(value: object) -> str:
    """A data value as base64url text, which is how SenML JSON carries it."""
    if type(value) is bytes:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")
    text = check_text(value)
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RejectedError(RejectCode.MALFORMED, "vd is not base64url") from error
    return text


def _text(value: object) -> str:
    return check_text(value)


def _own_name(name: str, device: str) -> str:
    """`name` without the device's own part."""
    urn = name.startswith("urn:dev:")
    scheme = "urn:dev:[a-z]+:(?:[^:_/]*-)?" if urn else ""
    own = re.match(rf"{scheme}{re.escape(device)}(?:[:_/]|\Z)", name)
    if own is None and urn:
        raise RejectedError(RejectCode.WRONG_DEVICE, f"the SenML name is of another device than {device}")
    return name[own.end() if own else 0 :] or NAMELESS
