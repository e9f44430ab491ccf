"""Golden vectors of the wire contract: one JSON file each, listed in a manifest that may only grow.

A vector holds what was given to the encoder (null where only a reader exists), the message as hex, and what reading
it gives. `scripts/golden.py` adds one.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cbor2

from wayside_shared import batch, plain, session
from wayside_shared.batch import Column, Counters, Drop, Envelope, Marks
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.columns import decode_body
from wayside_shared.errors import RejectedError
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.session import Ack, DeviceHello, Reject, ServerHello

FOLDER = Path(__file__).parents[1] / "golden" / "wire"
MANIFEST = FOLDER / "SHA256SUMS"
HELLO_ANSWER = session.HELLO_CONTENT_TYPE + ";server"
"""Stands for the server's hello, which shares its content type with the device's."""

DEVICE = "boiler-7"
NOW_NS = 1_790_000_000_000_000_000


def digest(path: Path) -> str:
    """The SHA-256 of a file, as the manifest has it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest() -> list[tuple[str, str]]:
    """Each vector's SHA-256 and file name, in the order of their coming."""
    return [(line[:64], line[66:]) for line in MANIFEST.read_text().splitlines()]


def names() -> list[str]:
    """The file names of all vectors that stand in the folder."""
    return sorted(path.name for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """The vector in the file `name`."""
    vector: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return vector


def encode(content_type: str, given: Any) -> bytes:
    """The message that this version's encoder makes of `given`."""
    return _ENCODERS[content_type](given)


def read(content_type: str, message: bytes) -> Any:
    """What this version reads in `message`, as JSON values; `{"rejected": code}` when it refuses it."""
    try:
        return _plain_data(_READERS[content_type](message))
    except RejectedError as error:
        return {"rejected": error.code.value}


def inflated(content_type: str, message: bytes) -> Any:
    """`message` free of what may differ between builds of zlib: a batch with its body inflated."""
    if content_type != batch.CONTENT_TYPE:
        return message
    fields = cbor2.loads(message)
    return {**fields, 10: batch.inflate(fields[10])}


def _encode_batch(given: Any) -> bytes:
    envelope = dict(given["envelope"])
    for key in ("epoch", "boot_id"):
        envelope[key] = bytes.fromhex(envelope[key])
    envelope["clock"] = _clock(envelope["clock"])
    if envelope["counters"] is not None:
        envelope["counters"] = Counters(**envelope["counters"])
    columns = [Column(**column) for column in given["columns"]]
    drops = [_drop(drop) for drop in given["drops"]]
    marks = [Marks(**mark) for mark in given.get("marks", [])]
    return batch.encode_message(Envelope(**envelope), batch.encode_body(columns, drops, marks))


def _read_batch(data: bytes) -> Any:
    message = batch.decode_message(data)
    body = decode_body(message)
    blocks = [
        {"name": block.name, "unit": block.unit, "times_us": block.times_us.tolist(), "numbers": _numbers(block)}
        | ({"texts": block.texts} if block.texts is not None else {})
        for block in body.blocks
        if block.qualities is None
    ]
    marks = [
        {"name": m.name, "unit": m.unit, "times_us": m.times_us.tolist(), "qualities": m.qualities.tolist()}
        for m in body.blocks
        if m.qualities is not None
    ]
    drops = [asdict(drop) for drop in body.drops]
    return {"envelope": asdict(message.envelope), "blocks": blocks, "drops": drops, "marks": marks}


def _numbers(block: Any) -> list[float] | None:
    return None if block.numbers is None else block.numbers.tolist()


def _clock(given: Any) -> ClockMap:
    return ClockMap(given["boottime_ns"], given["wall_ns"], ClockState(given["state"]), given["err_ms"])


def _drop(given: Any) -> Drop:
    return Drop(bytes.fromhex(given["epoch"]), given["first_seq"], given["counts"], DropReason(given["reason"]))


def _encode_ack(given: Any) -> bytes:
    rejects = [Reject(item["seq"], RejectCode(item["code"]), item["detail"]) for item in given["rejects"]]
    ranges = [(first, last) for first, last in given["ranges"]]
    return session.encode_ack(
        Ack(
            bytes.fromhex(given["epoch"]),
            given["upto"],
            ranges,
            rejects,
            slow_ms=given["slow_ms"],
            digests=bytes.fromhex(given.get("digests", "")),
        )
    )


def _encode_device_hello(given: Any) -> bytes:
    fields = dict(given)
    for key in ("nonce", "epoch", "boot_id"):
        fields[key] = bytes.fromhex(fields[key])
    fields["clock"] = _clock(fields["clock"])
    fields["counters"] = Counters(**fields["counters"])
    return session.encode_device_hello(DeviceHello(**fields))


def _encode_server_hello(given: Any) -> bytes:
    fields = dict(given)
    for key in ("nonce", "epoch"):
        fields[key] = bytes.fromhex(fields[key])
    return session.encode_server_hello(ServerHello(**fields))


def _plain_data(value: Any) -> Any:
    """`value` as JSON has it: bytes as hex, enums by value, dataclasses and tuples as maps and lists."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    match value:
        case dict():
            return {str(key): _plain_data(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain_data(item) for item in value]
        case bytes():
            return value.hex()
        case RejectCode() | DropReason() | ClockState():
            return value.value
        case _:
            return value


def _read_senml(content_type: str) -> Callable[[bytes], object]:
    return lambda data: plain.read_senml(data, content_type, DEVICE, NOW_NS)


_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    batch.CONTENT_TYPE: _encode_batch,
    session.ACK_CONTENT_TYPE: _encode_ack,
    session.HELLO_CONTENT_TYPE: _encode_device_hello,
    HELLO_ANSWER: _encode_server_hello,
}
_READERS: dict[str, Callable[[bytes], object]] = {
    batch.CONTENT_TYPE: _read_batch,
    session.ACK_CONTENT_TYPE: session.decode_ack,
    session.HELLO_CONTENT_TYPE: session.decode_device_hello,
    HELLO_ANSWER: session.decode_server_hello,
    plain.JSON_TYPE: lambda data: plain.read_json(data, DEVICE, NOW_NS),
    plain.SENML_JSON_TYPE: _read_senml(plain.SENML_JSON_TYPE),
    plain.SENML_CBOR_TYPE: _read_senml(plain.SENML_CBOR_TYPE),
}
