"""Small rules: names, units, topics, clocks."""

import cbor2
import pytest

from wayside_shared import cbor, topics
from wayside_shared.clock import EARLIEST_NS, LATEST_NS, ClockMap, ClockState, check_range
from wayside_shared.errors import RejectedError
from wayside_shared.identifiers import is_device_id, is_series_name
from wayside_shared.rejects import DropReason, RejectCode
from wayside_shared.units import KNOWN, check_unit, from_senml


@pytest.mark.parametrize("name", ["abc", "boiler-7", "0" * 63, "a--"])
def test_device_ids(name: str) -> None:
    assert is_device_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "0" * 64,
        "-abc",
        "Boiler",
        "boiler_7",
        "devA/up",
        "+",
        "#",
        "$sys",
        "a\0bc",
        "abc\n",
        "..",
        "äöü",
        "٣٣٣",
    ],
)
def test_what_is_no_device_id(name: str) -> None:
    assert not is_device_id(name)


@pytest.mark.parametrize(("name", "valid"), [("a", True), ("1/b:c.d_e-f", True), ("x" * 128, True), ("x" * 129, False)])
def test_series_names(name: str, valid: bool) -> None:
    assert is_series_name(name) is valid


@pytest.mark.parametrize("name", ["", "/a", "a b", "a\n", "a\0", "é", "_a"])
def test_what_is_no_series_name(name: str) -> None:
    assert not is_series_name(name)


@pytest.mark.parametrize(
    "topic",
    [
        "wayside/1/boiler-7",
        "wayside/1/boiler-7/",
        "wayside/1/boiler-7/up/",
        "wayside/1/boiler-7/hello",
        "wayside/1/Boiler/up",
        "wayside/1/+/up",
        "wayside/2/boiler-7/up",
        "/wayside/1/boiler-7/up",
        "wayside/1//up",
    ],
)
def test_what_is_no_topic_of_ours(topic: str) -> None:
    assert topics.parse(topic) is None


def test_each_channel_has_one_sender() -> None:
    down = {channel for channel in topics.Channel if not channel.from_device}
    assert down == {
        topics.Channel.ACK,
        topics.Channel.HELLO_SERVER,
        topics.Channel.COMMAND,
        topics.Channel.DESIRED,
    }
    assert topics.every_device(topics.Channel.UP) == "wayside/1/+/up"


@pytest.mark.parametrize("code", KNOWN)
def test_the_units_of_our_drivers_are_valid(code: str) -> None:
    assert check_unit(code) == code


@pytest.mark.parametrize("code", ["", "°C", "m s", "x" * 33, "Cel\n", "\0"])
def test_what_is_no_unit(code: str) -> None:
    with pytest.raises(RejectedError) as caught:
        check_unit(code)
    assert caught.value.code == RejectCode.BAD_UNIT


@pytest.mark.parametrize(("senml", "ucum"), [("Cel", "Cel"), ("%RH", "%"), ("/", "1"), ("B", "By"), ("ppm", "[ppm]")])
def test_senml_units(senml: str, ucum: str) -> None:
    assert from_senml(senml) == ucum


def test_the_years_of_this_system() -> None:
    check_range(EARLIEST_NS, LATEST_NS - 1)
    for first, last in ((EARLIEST_NS - 1, LATEST_NS - 1), (EARLIEST_NS, LATEST_NS)):
        with pytest.raises(RejectedError) as caught:
            check_range(first, last)
        assert caught.value.code == RejectCode.TIME_OUT_OF_RANGE


def test_a_clock_map_turns_boot_time_into_utc() -> None:
    assert 7 + ClockMap(5, 105, ClockState.SYNCED).offset_ns == 107


def test_every_code_has_its_meaning() -> None:
    for code in (*RejectCode, *DropReason):
        assert code.meaning.isascii()
        assert code.value == code.name.lower()


@pytest.mark.parametrize("tag", [*range(64), 65, 100, 258, 260, 1004, 43000, 55799])
def test_foreign_tags_are_never_interpreted(tag: int) -> None:
    for inner in (0, "a", b"a", [0, 1], {}):
        data = cbor2.dumps(cbor2.CBORTag(tag, inner))
        try:
            assert isinstance(cbor.loads(data), cbor2.CBORTag)
        except RejectedError as error:
            assert error.code == RejectCode.MALFORMED  # noqa: PT017 (either outcome is right)
