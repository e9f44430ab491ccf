"""The layout tables say what the encoders write."""

from typing import Any

import cbor2
import pytest

from wayside_shared import layout
from wayside_shared.batch import Column, Drop, inflate
from wayside_shared.rejects import DropReason
from wayside_shared.session import (
    Ack,
    DeviceHello,
    ServerHello,
    encode_ack,
    encode_device_hello,
    encode_server_hello,
)
from wayside_shared.values import Kind
from wayside_testkit import wire

COUNTERS = wire.envelope(0).counters
assert COUNTERS is not None
LATE = [1000 * i + late for i, late in enumerate((0, 3, 1, 2, 0, 3, 2, 0, 1, 3))]
MESSAGE = cbor2.loads(
    wire.encode(
        [Column("s", "1", [1, 2, 4], [1.5, 2.5, 4.0]), Column("late", "1", LATE, [0] * len(LATE))],
        [Drop(wire.EPOCH, 3, [480], DropReason.QUOTA)],
    )
)
BODY = cbor2.loads(inflate(MESSAGE[10]))
HELLO = DeviceHello(b"12345678", wire.EPOCH, 1, 9, COUNTERS, wire.BOOT_ID, wire.CLOCK, "agent 1")

WRITTEN: list[tuple[layout.Layout, Any]] = [
    (layout.ENVELOPE, MESSAGE),
    (layout.CLOCK, MESSAGE[8]),
    (layout.COUNTERS, MESSAGE[9]),
    (layout.BODY, BODY),
    (layout.TIMES, BODY[1][0]),
    (layout.JITTER, BODY[1][1]),
    (layout.SERIES, BODY[2][0][:4]),
    (layout.DROP, BODY[3][0]),
    (layout.ACK, cbor2.loads(encode_ack(Ack(wire.EPOCH, 9, [(9, 9)], digests=b"abcd")))),
    (layout.DEVICE_HELLO, cbor2.loads(encode_device_hello(HELLO))),
    (
        layout.SERVER_HELLO,
        cbor2.loads(encode_server_hello(ServerHello(b"12345678", wire.EPOCH, 9, 12, "server 1", [(11, 12)]))),
    ),
]
TYPES: dict[str, type] = {
    "uint": int,
    "int": int,
    "text": str,
    "bytes": bytes,
    "array": list,
    "map": dict,
    "null": type(None),
}


def test_every_layout_is_checked_here() -> None:
    assert {item.title for item, _ in WRITTEN} == {item.title for item in layout.LAYOUTS}


@pytest.mark.parametrize(("item", "written"), WRITTEN, ids=[item.title for item, _ in WRITTEN])
def test_a_layout_is_what_is_written(item: layout.Layout, written: Any) -> None:
    values = written if item.container == "map" else dict(enumerate(written))
    assert [field.key for field in item.fields] == sorted(values)
    for field in item.fields:
        expected = TYPES.get(field.type, cbor2.CBORTag)
        assert type(values[field.key]) is expected
        if field.type == "uint":
            assert values[field.key] >= 0


def test_every_kind_is_described() -> None:
    assert set(layout.KINDS) == set(Kind)
