"""Plain JSON and SenML, with the examples of RFC 8428 as cases."""

import json
from typing import Any

import cbor2
import pytest

from wayside_shared.batch import MAX_MESSAGE_BYTES, MAX_SAMPLES
from wayside_shared.errors import RejectedError
from wayside_shared.plain import (
    JSON_TYPE,
    MAX_RECORDS,
    SENML_CBOR_TYPE,
    SENML_JSON_TYPE,
    Record,
    read_json,
    read_senml,
    to_blocks,
)
from wayside_shared.rejects import RejectCode
from wayside_testkit import wire

NOW = wire.NOW_NS
S = 1_000_000_000
LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6}
LABELS |= {"n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}


def plain(value: Any) -> list[Record]:
    return read_json(json.dumps(value).encode(), wire.DEVICE, NOW)


def senml(pack: list[dict[str, Any]], device: str = wire.DEVICE) -> list[Record]:
    """The records of `pack`, which must be the same through JSON and CBOR."""
    records = read_senml(json.dumps(pack).encode(), SENML_JSON_TYPE, device, NOW)
    labelled = [{LABELS.get(key, key): value for key, value in record.items()} for record in pack]
    assert read_senml(cbor2.dumps(labelled), SENML_CBOR_TYPE, device, NOW) == records
    return records


def code_of(data: bytes | str, content_type: str = "") -> RejectCode:
    raw = data.encode() if isinstance(data, str) else data
    with pytest.raises(RejectedError) as caught:
        read_senml(raw, content_type, wire.DEVICE, NOW) if content_type else read_json(raw, wire.DEVICE, NOW)
    return caught.value.code


# --- plain JSON


def test_one_entry_with_every_kind_of_value() -> None:
    values = {"t": 21.5, "n": 3, "on": True, "mode": "auto", "doc": {"a": [1, None]}}
    records = plain({"ts": 1_790_000_000_250, "units": {"t": "Cel"}, "values": values})
    when = 1_790_000_000_250_000_000
    assert records == [
        Record("t", "Cel", when, 21.5),
        Record("n", "1", when, 3.0),
        Record("on", "1", when, "true"),
        Record("mode", "1", when, '"auto"'),
        Record("doc", "1", when, '{"a":[1,null]}'),
    ]


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (1_790_000_000_000, 1_790_000_000 * S),
        (1_790_000_000_000.5, 1_790_000_000 * S + 500_000),
        ("2026-09-21T14:13:20Z", 1_790_000_000 * S),
        ("2026-09-21T16:13:20.123456+02:00", 1_790_000_000 * S + 123_456_000),
    ],
)
def test_times_of_plain_json(ts: object, expected: int) -> None:
    assert plain([{"ts": ts, "values": {"t": 1}}])[0].time_ns == expected


def test_without_a_time_the_receipt_counts() -> None:
    assert plain({"values": {"t": 1}})[0].time_ns == NOW


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"ts": 1e305, "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"ts": 253402300800000, "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"ts": "1969-12-31T23:59:59Z", "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"ts": "2026-09-21T14:13:20", "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"ts": true, "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"ts": null, "values": {"t": 1}}', RejectCode.TIME_OUT_OF_RANGE),
        ('{"values": {"t": NaN}}', RejectCode.NON_FINITE),
        ('{"values": {"t": -Infinity}}', RejectCode.NON_FINITE),
        ('{"values": {"t": 1e999}}', RejectCode.OUT_OF_RANGE),
        ('{"values": {"t": ' + "9" * 5_000 + "}}", RejectCode.OUT_OF_RANGE),
        ('{"values": {"t": 9223372036854775808}}', RejectCode.OUT_OF_RANGE),
        ('{"values": {"t": "\\ud800"}}', RejectCode.BAD_TEXT),
        ('{"values": {"t": "a\\u0000"}}', RejectCode.BAD_TEXT),
        ('{"values": {"t": {"\\u0000": 1}}}', RejectCode.BAD_TEXT),
        ('{"values": {"t t": 1}}', RejectCode.BAD_NAME),
        ('{"units": {"t": "m per s"}, "values": {"t": 1}}', RejectCode.BAD_UNIT),
        ('{"units": ["m"], "values": {"t": 1}}', RejectCode.BAD_UNIT),
        ('{"device": "other", "values": {"t": 1}}', RejectCode.WRONG_DEVICE),
        ('{"values": {}}', RejectCode.MALFORMED),
        ("[]", RejectCode.MALFORMED),
        ("[1]", RejectCode.MALFORMED),
        ("[" * 100_000, RejectCode.MALFORMED),
        ('{"values": {"t": ' + "[" * 40 + "]" * 40 + "}}", RejectCode.MALFORMED),
        ("\xff", RejectCode.MALFORMED),
        (" " * (MAX_MESSAGE_BYTES + 1), RejectCode.TOO_LARGE),
    ],
)
def test_hostile_json(text: str, code: RejectCode) -> None:
    assert code_of(text.encode("latin-1")) == code


# --- SenML, RFC 8428 section 5.1

OW = "10e2073a01080063"


def test_rfc_8428_single_data_point() -> None:
    assert senml([{"n": f"urn:dev:ow:{OW}", "u": "Cel", "v": 23.1}], OW) == [Record("value", "Cel", NOW, 23.1)]


def test_rfc_8428_multiple_data_points() -> None:
    pack = [
        {"bn": f"urn:dev:ow:{OW}:", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "u": "A", "v": 1.2},
    ]
    assert senml(pack, OW) == [Record("voltage", "V", NOW, 120.1), Record("current", "A", NOW, 1.2)]


def test_rfc_8428_base_time_and_older_version() -> None:
    base = {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5}
    pack = [{**base, "n": "voltage", "u": "V", "v": 120.1}]
    pack += [
        {"n": "current", "t": t, "v": v} for t, v in zip(range(-5, 1), [1.2, 1.3, 1.4, 1.5, 1.6, 1.7], strict=True)
    ]
    records = senml(pack, "10e2073a0108006")
    at = 1_276_020_076_001_000_000
    assert records[0] == Record("voltage", "V", at, 120.1)
    assert records[1:] == [Record("current", "A", at + (i - 5) * S, round(1.2 + i / 10, 1)) for i in range(6)]


def test_rfc_8428_a_moving_sensor_keeps_latitude_and_longitude_apart() -> None:
    pack: list[dict[str, Any]] = [
        {"bn": f"urn:dev:ow:{OW}", "bt": 1.320067464e09, "bu": "%RH", "v": 20},
        {"u": "lon", "v": 24.30621},
        {"u": "lat", "v": 60.07965},
        {"t": 60, "v": 20.3},
        {"u": "lon", "t": 60, "v": 24.30622},
        {"u": "lat", "t": 60, "v": 60.07965},
        {"u": "%EL", "t": 150, "v": 98},
    ]
    at = 1_320_067_464 * S
    assert senml(pack, OW) == [
        Record("value", "%", at, 20.0),
        Record("value.lon", "deg", at, 24.30621),
        Record("value.lat", "deg", at, 60.07965),
        Record("value", "%", at + 60 * S, 20.3),
        Record("value.lon", "deg", at + 60 * S, 24.30622),
        Record("value.lat", "deg", at + 60 * S, 60.07965),
        Record("value.level", "%", at + 150 * S, 98.0),
    ]
    assert sum(len(block) for block in to_blocks(senml(pack, OW))) == len(pack)


def test_rfc_8428_multiple_data_types() -> None:
    pack = [
        {"bn": f"urn:dev:ow:{OW}:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ]
    assert senml(pack, OW) == [
        Record("temp", "Cel", NOW, 23.1),
        Record("label", "1", NOW, '"Machine Room"'),
        Record("open", "1", NOW, "false"),
        Record("nfc-reader", "1", NOW, '"aGkgCg"'),
    ]


def test_a_base_unit_is_the_numbers_own() -> None:
    pack = [
        {"bu": "Cel", "n": "t", "v": 1},
        {"n": "label", "vs": "x"},
        {"n": "on", "vb": True},
        {"n": "m", "u": "s", "vs": "3"},
    ]
    assert [record.unit for record in senml(pack)] == ["Cel", "1", "1", "s"]


def test_cbor_carries_data_as_bytes() -> None:
    pack = cbor2.dumps([{0: "d", 8: b"hi \n"}])
    assert read_senml(pack, SENML_CBOR_TYPE, wire.DEVICE, NOW) == [Record("d", "1", NOW, '"aGkgCg"')]


def test_rfc_8428_collection_keeps_the_names_of_those_it_speaks_for() -> None:
    pack = [
        {"bn": "2001:db8::2/", "bt": 1.320078429e09, "n": "temperature", "u": "Cel", "v": 25.2},
        {"n": "humidity", "u": "%RH", "v": 30},
        {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
    ]
    at = 1_320_078_429 * S
    assert senml(pack) == [
        Record("2001:db8::2/temperature", "Cel", at, 25.2),
        Record("2001:db8::2/humidity", "%", at, 30.0),
        Record("2001:db8::1/temperature", "Cel", at, 12.3),
    ]


@pytest.mark.parametrize(
    ("name", "device", "series"),
    [
        ("boiler-7/t", "boiler-7", "t"),
        ("boiler-7:t", "boiler-7", "t"),
        ("boiler-7/boiler-7/t", "boiler-7", "boiler-7/t"),
        ("boiler-7", "boiler-7", "value"),
        ("boiler-72", "boiler-7", "boiler-72"),
        ("temperature", "boiler-7", "temperature"),
        ("urn:dev:mac:0024befffe804ff1_t", "0024befffe804ff1", "t"),
        ("urn:dev:org:32473-boiler-7:t", "boiler-7", "t"),
        ("urn:dev:os:32473-boiler-7_t", "boiler-7", "t"),
    ],
)
def test_names(name: str, device: str, series: str) -> None:
    assert senml([{"n": name, "v": 1}], device)[0].name == series


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("urn:dev:mac:0024befffe804ff1:t", "boiler-7"),
        ("urn:dev:ow:xboiler-7:t", "boiler-7"),
        ("urn:dev:ow:boiler-72:t", "boiler-7"),
        ("urn:dev:ow:other:boiler-7:t", "boiler-7"),
        ("urn:dev:mac:0024befffe804ff1:t", "dev"),
    ],
)
def test_a_urn_of_another_device_is_refused(name: str, device: str) -> None:
    with pytest.raises(RejectedError) as caught:
        senml([{"n": name, "v": 1}], device)
    assert caught.value.code == RejectCode.WRONG_DEVICE


def test_base_value_sum_and_relative_time() -> None:
    pack = [{"bn": "m/", "bv": 100, "bs": 1000, "n": "a", "v": 1.5, "t": -2}, {"n": "a"}, {"n": "b", "s": 5}]
    assert senml(pack) == [
        Record("m/a", "1", NOW - 2 * S, 101.5),
        Record("m/a", "1", NOW, 100.0),
        Record("m/b.sum", "1", NOW, 1005.0),
    ]


def test_a_record_may_hold_nothing_but_base_fields() -> None:
    assert senml([{"bn": "m/", "bt": 1_790_000_000}, {"n": "a", "v": 1}]) == [
        Record("m/a", "1", 1_790_000_000 * S, 1.0)
    ]


@pytest.mark.parametrize(
    ("pack", "code"),
    [
        ([{"n": "a", "v": 1e308, "bv": 1e308}], RejectCode.NON_FINITE),
        ([{"n": "a", "s": 1e308, "bs": 1e308}], RejectCode.NON_FINITE),
        ([{"n": "a", "v": 1, "bt": 1e305}], RejectCode.TIME_OUT_OF_RANGE),
        ([{"n": "a", "v": 1, "t": -1e308}], RejectCode.TIME_OUT_OF_RANGE),
        ([{"n": "a", "v": 1, "bt": 1e308, "t": 1e308}], RejectCode.TIME_OUT_OF_RANGE),
        ([{"n": "a", "v": 1, "t": 9_000_000_000}], RejectCode.TIME_OUT_OF_RANGE),
        ([{"n": "a", "v": True}], RejectCode.MALFORMED),
        ([{"n": "a", "vb": 1}], RejectCode.MALFORMED),
        ([{"n": "a", "vd": "a b"}], RejectCode.MALFORMED),
        ([{"n": "a", "v": 1, "must_": 1}], RejectCode.MALFORMED),
        ([{"n": "a", "v": 1, "bver": 11}], RejectCode.UNSUPPORTED_VERSION),
        ([{"n": "a", "v": 1, "bver": "10"}], RejectCode.UNSUPPORTED_VERSION),
        ([{"n": 5, "v": 1}], RejectCode.BAD_TEXT),
        ([{"n": "a", "u": "", "v": 1}], RejectCode.BAD_UNIT),
        ([{"n": "a"}], RejectCode.MALFORMED),
        ([], RejectCode.MALFORMED),
        ([5], RejectCode.MALFORMED),
        ({}, RejectCode.MALFORMED),
    ],
)
def test_hostile_senml(pack: Any, code: RejectCode) -> None:
    assert code_of(json.dumps(pack), SENML_JSON_TYPE) == code


def test_secondary_units_are_announced_by_version_26() -> None:
    assert senml([{"bver": 26, "n": "a", "u": "kWh", "v": 1}])[0].unit == "kW.h"


def test_hostile_senml_cbor() -> None:
    for data in (b"", b"\xa0", b"\x81\x05", b"\x9f\xff", b"\x81" * 5_000, cbor2.dumps([{0: "a", 2: float("nan")}])):
        code_of(data, SENML_CBOR_TYPE)
    assert code_of(bytes(MAX_MESSAGE_BYTES + 1), SENML_CBOR_TYPE) == RejectCode.TOO_LARGE


# --- blocks


def test_the_last_of_equal_series_and_time_counts() -> None:
    blocks = to_blocks([Record("a", "1", NOW, 1.0), Record("a", "1", NOW + 1, 2.0), Record("a", "1", NOW, "true")])
    assert [(block.name, len(block)) for block in blocks] == [("a", 1), ("a", 1)]
    assert blocks[0].numbers is not None
    assert blocks[0].numbers.tolist() == [2.0]
    assert blocks[1].texts == ["true"]


@pytest.mark.parametrize("fewer", [True, False])
def test_a_message_is_read_no_further_than_it_may_hold(fewer: bool) -> None:
    count = MAX_RECORDS if fewer else MAX_RECORDS + 1
    packs = [
        (b"[" + b",".join([b'{"values":{"a":1}}'] * count) + b"]", JSON_TYPE),
        (b"[" + b",".join([b'{"n":"a","v":1}'] * count) + b"]", SENML_JSON_TYPE),
        (cbor2.dumps([{0: "a", 2: 1}] * count), SENML_CBOR_TYPE),
    ]
    for data, kind in packs:
        if fewer:
            assert len(read(data, kind)) == MAX_RECORDS
        else:
            with pytest.raises(RejectedError) as caught:
                read(data, kind)
            assert caught.value.code == RejectCode.TOO_LARGE


def read(data: bytes, kind: str) -> list[Record]:
    return read_json(data, wire.DEVICE, NOW) if kind == JSON_TYPE else read_senml(data, kind, wire.DEVICE, NOW)


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(RejectedError) as caught:
        to_blocks(Record("a", "1", NOW + i * 1000, 1.0) for i in range(MAX_SAMPLES + 1))
    assert caught.value.code == RejectCode.TOO_LARGE


@pytest.mark.parametrize("ts", [1_790_000_000, 1_790_000_000.25, 946_684_800])
def test_a_time_in_seconds_gets_a_hint(ts: float) -> None:
    with pytest.raises(RejectedError, match=r"ts looks like seconds.*multiply by 1000") as refused:
        plain({"ts": ts, "values": {"t": 1}})
    assert refused.value.code is RejectCode.TIME_OUT_OF_RANGE


def test_the_first_milliseconds_that_can_be_meant_are_no_seconds() -> None:
    assert plain({"ts": 946_684_800_000, "values": {"t": 1}})[0].time_ns == 946_684_800 * S
