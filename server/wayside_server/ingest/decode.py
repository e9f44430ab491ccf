"""From a message to something that can be stored, or to the reason why not. Never raises, whatever the bytes."""

from collections.abc import Callable
from dataclasses import replace

from wayside_server.domain.ingest import Batch, DeviceLog, Garbage, Hello, Item, Plain, Presence, Raw
from wayside_server.errors import RejectedError
from wayside_shared.batch import CONTENT_TYPE, MAX_MESSAGE_BYTES, decode_message
from wayside_shared.clock import NS_PER_US
from wayside_shared.columns import Body, decode_body
from wayside_shared.device_log import decode_log
from wayside_shared.plain import JSON_TYPE, SENML_CBOR_TYPE, SENML_JSON_TYPE, Record, read_json, read_senml, to_blocks
from wayside_shared.rejects import RejectCode
from wayside_shared.session import decode_device_hello
from wayside_shared.text import parse_json
from wayside_shared.topics import Channel

_STATES = ("online", "offline")


def decode(raw: Raw, channel: Channel) -> Item:
    """What `raw` says on `channel`."""
    try:
        match channel:
            case Channel.UP:
                return _up(raw)
            case Channel.HELLO_DEVICE:
                return Hello(raw, decode_device_hello(raw.payload))
            case Channel.STATE:
                return _presence(raw)
            case Channel.LOG:
                return DeviceLog(raw, *decode_log(raw.payload))
            case _:
                raise RejectedError(RejectCode.UNSUPPORTED_TYPE, f"nothing is expected on {channel.value}")
    except RejectedError as error:
        return Garbage(raw, error)
    except Exception as error:  # noqa: BLE001 - a message must never kill the worker; a decoder's bug is dead-lettered
        return Garbage(raw, RejectedError(RejectCode.MALFORMED, f"decoder failed: {type(error).__name__}"))


def _up(raw: Raw) -> Item:
    if len(raw.payload) > MAX_MESSAGE_BYTES:
        raise RejectedError(RejectCode.TOO_LARGE, f"{len(raw.payload)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    content_type = (raw.content_type or "").partition(";")[0].strip().lower()
    if content_type == CONTENT_TYPE:
        return _batch(raw)
    read = _READERS.get(content_type)
    if read is None:
        known = ", ".join([CONTENT_TYPE, *_READERS])
        given = f"content type {content_type[:60]!r}" if content_type else "no content type; set the MQTT 5 property"
        raise RejectedError(RejectCode.UNSUPPORTED_TYPE, f"{given}; known: {known}")
    return Plain(raw, to_blocks(read(raw)))


def _batch(raw: Raw) -> Batch | Garbage:
    message = decode_message(raw.payload)
    content: Body | RejectedError
    envelope = message.envelope
    if envelope.device != raw.device:
        # Its counters and numbers belong to another device's stream, so they get no place in the sender's own.
        error = RejectedError(RejectCode.WRONG_DEVICE, f"the batch is of {envelope.device}, not {raw.device}")
        return Garbage(raw, error, (envelope.epoch, envelope.seq))
    try:
        content = decode_body(message)
    except RejectedError as error:
        content = error
    return Batch(raw, envelope, message.digest, content)


def _presence(raw: Raw) -> Presence:
    value = parse_json(raw.payload)
    state = value.get("state") if type(value) is dict else None
    if state not in _STATES:
        raise RejectedError(RejectCode.MALFORMED, f"a state must be one of {', '.join(_STATES)}")
    return Presence(raw, state)


def _json(raw: Raw) -> list[Record]:
    return read_json(raw.payload, raw.device, raw.received_us * NS_PER_US)


def _senml_json(raw: Raw) -> list[Record]:
    return read_senml(raw.payload, SENML_JSON_TYPE, raw.device, raw.received_us * NS_PER_US)


def _senml_cbor(raw: Raw) -> list[Record]:
    return read_senml(raw.payload, SENML_CBOR_TYPE, raw.device, raw.received_us * NS_PER_US)


_READERS: dict[str, Callable[[Raw], list[Record]]] = {
    JSON_TYPE: _json,
    SENML_JSON_TYPE: _senml_json,
    SENML_CBOR_TYPE: _senml_cbor,
}


def condemned(item: Item) -> Item:
    """`item` as one that the database refuses: a batch is rejected, anything else is set aside whole."""
    error = RejectedError(RejectCode.STORAGE_REFUSED, "the database refuses it, alone and repeatedly")
    return replace(item, content=error) if isinstance(item, Batch) else Garbage(item.raw, error)
