"""The Modbus driver on a simulated line: requests, numbers in every order, exceptions, silence."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.config import parse, sample
from wayside_edge.drivers.modbus import Modbus, ModbusRegister, ModbusSettings, Order, Type
from wayside_edge.drivers.modbus.driver import plan
from wayside_edge.errors import BusError, ConfigError, DeviceAbsentError, SensorError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.hal.modbus import EXCEPTIONS, ModbusLine
from wayside_edge.ports import ModbusTable, Reading
from wayside_edge.registry import build
from wayside_firmware.board.modbus import SimulatedModbus
from wayside_shared.quality import Quality
from wayside_shared.settings import Table
from wayside_testkit.chips import refusal
from wayside_testkit.sensing import Bench, sensor

HOLDING, COIL = ModbusTable.HOLDING, ModbusTable.COIL


class Line:
    """A simulated line whose unit 1 has what the test puts there."""

    def __init__(self) -> None:
        self.simulated = SimulatedModbus({})
        self.bench = Bench()
        self.bench.line = ModbusLine("line", lambda: self.simulated)

    def put(self, address: int, *words: int, table: str = "holding") -> None:
        for offset, word in enumerate(words):
            self.simulated.values[1, table, address + offset] = word

    def driver(self, *registers: ModbusRegister, **settings: int) -> Modbus:
        return Modbus(ModbusSettings(registers=list(registers), **settings), "line", self.bench)

    def taken(self, *registers: ModbusRegister, **settings: int) -> dict[str, Reading]:
        driver = self.driver(*registers, **settings)
        self.bench.finish(driver.start())
        self.simulated.requests.clear()
        return {reading.name: reading for reading in self.bench.finish(driver.read())}


@pytest.fixture
def line() -> Line:
    return Line()


def at(address: int, name: str | None = None, **settings: object) -> ModbusRegister:
    return ModbusRegister(name=name or f"r{address}", address=address, **settings)


def test_neighbours_come_in_one_request_in_the_order_of_the_settings(line: Line) -> None:
    line.put(10, 1, 2, 3, 4)
    found = line.taken(at(12), at(10, type=Type.UINT32), at(13))
    assert list(found) == ["r12", "r10", "r13"]
    assert [each.value for each in found.values()] == [3, 0x10002, 4]
    assert line.simulated.requests == [(1, "holding", 10, 4)]


def test_each_table_has_its_own_requests(line: Line) -> None:
    line.put(0, 7)
    line.put(0, 8, table="input")
    line.put(0, 1, 0, table="coil")
    line.put(1, 1, table="discrete")
    found = line.taken(
        at(0, "h"),
        at(0, "i", table=ModbusTable.INPUT),
        at(0, "on", table=COIL),
        at(1, "off", table=COIL),
        at(1, "door", table=ModbusTable.DISCRETE),
    )
    assert {name: each.value for name, each in found.items()} == {
        "h": 7,
        "i": 8,
        "on": True,
        "off": False,
        "door": True,
    }
    assert sorted(line.simulated.requests) == [
        (1, "coil", 0, 2),
        (1, "discrete", 1, 1),
        (1, "holding", 0, 1),
        (1, "input", 0, 1),
    ]


@pytest.mark.parametrize(
    ("addresses", "gap", "most", "expected"),
    [
        ([0, 1, 3], 0, 125, [(0, 2), (3, 1)]),
        ([0, 1, 3], 1, 125, [(0, 4)]),
        ([0, 9], 7, 125, [(0, 1), (9, 1)]),
        ([0, 9], 8, 125, [(0, 10)]),
        (list(range(200)), 0, 125, [(0, 125), (125, 75)]),
        (list(range(10)), 0, 4, [(0, 4), (4, 4), (8, 2)]),
        ([5, 5], 0, 125, [(5, 1)]),
    ],
)
def test_as_few_requests_as_the_limits_allow(
    addresses: list[int], gap: int, most: int, expected: list[tuple[int, int]]
) -> None:
    registers = [at(address, f"r{number}") for number, address in enumerate(addresses)]
    requests = plan(ModbusSettings(registers=registers, max_gap=gap, max_count=most))
    assert [(request.address, request.count) for request in requests] == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(Type), st.sampled_from([HOLDING, COIL])), min_size=1, max_size=40
    ),
    st.integers(0, 20),
    st.integers(4, 125),
)
def test_every_register_lies_whole_in_one_request(
    places: list[tuple[int, Type, ModbusTable]], gap: int, most: int
) -> None:
    registers = [
        at(address, f"r{number}", type=kind, table=table) for number, (address, kind, table) in enumerate(places)
    ]
    requests = plan(ModbusSettings(registers=registers, max_gap=gap, max_count=most))
    assert sorted(each.name for request in requests for each in request.registers) == sorted(
        register.name for register in registers
    )
    for request in requests:
        assert request.count <= (2000 if request.table is COIL else most)
        for register in request.registers:
            assert register.table is request.table
            assert request.address <= register.address
            assert register.address + register.count <= request.address + request.count


NUMBERS = [
    (Type.INT16, -2, ["fffe"]),
    (Type.UINT16, 65_534, ["fffe"]),
    (Type.INT32, -123_456_789, ["f8a4", "32eb"]),
    (Type.UINT32, 4_171_510_507, ["f8a4", "32eb"]),
    (Type.INT64, -2, ["ffff", "ffff", "ffff", "fffe"]),
    (Type.UINT64, 2**63, ["8000", "0000", "0000", "0000"]),
    (Type.FLOAT32, 230.5, ["4366", "8000"]),
    (Type.FLOAT64, -0.1, ["bfb9", "9999", "9999", "999a"]),
]


@pytest.mark.parametrize(("kind", "number", "words"), NUMBERS)
@pytest.mark.parametrize("word_order", Order)
@pytest.mark.parametrize("byte_order", Order)
def test_every_type_in_every_order(
    line: Line, kind: Type, number: float, words: list[str], word_order: Order, byte_order: Order
) -> None:
    codes = [bytes.fromhex(word) for word in words]
    if byte_order is Order.LITTLE:
        codes = [code[::-1] for code in codes]
    if word_order is Order.LITTLE:
        codes.reverse()
    line.put(7, *(code[0] << 8 | code[1] for code in codes))
    found = line.taken(at(7, type=kind, word_order=word_order, byte_order=byte_order))
    assert found["r7"].value == number


@given(st.floats(allow_nan=False, allow_infinity=False, width=64), st.sampled_from(Order))
def test_what_a_device_writes_is_what_is_read(number: float, word_order: Order) -> None:
    line = Line()
    words = struct.unpack(">4H", struct.pack(">d", number))
    line.put(0, *(words if word_order is Order.BIG else words[::-1]))
    assert line.taken(at(0, type=Type.FLOAT64, word_order=word_order))["r0"].value == number


def test_scale_and_offset_give_unit_and_digits(line: Line) -> None:
    line.put(0, 2305, 1000)
    found = line.taken(
        at(0, "volt", scale=0.1, unit="V"), at(1, "celsius", scale=0.05, offset=-40.0, unit="Cel"), at(1, "plain")
    )
    assert (found["volt"].value, found["volt"].decimals, found["volt"].unit) == (pytest.approx(230.5), 1, "V")
    assert (found["celsius"].value, found["celsius"].decimals) == (pytest.approx(10.0), 2)
    assert (found["plain"].value, found["plain"].decimals) == (1000, None)


def test_a_number_that_is_none_is_a_sample_without_value(line: Line) -> None:
    line.put(0, 0x7FC0, 0, 0x7F80, 0, 0x3F80, 0)
    found = line.taken(*(at(address, type=Type.FLOAT32) for address in (0, 2, 4)))
    assert [(each.value, each.quality) for each in found.values()] == [
        (None, Quality.OUT_OF_RANGE),
        (None, Quality.OUT_OF_RANGE),
        (1.0, Quality.GOOD),
    ]


def test_a_register_that_the_device_refuses_beside_others(line: Line) -> None:
    line.put(0, 5)
    found = line.taken(at(0), at(100))
    assert (found["r0"].value, found["r0"].quality) == (5, Quality.GOOD)
    assert (found["r100"].value, found["r100"].quality) == (None, Quality.INVALID)


@pytest.mark.parametrize("code", [*EXCEPTIONS, 99])
def test_every_exception_has_its_quality_and_words(line: Line, code: int) -> None:
    line.put(0, 5)
    driver = line.driver(at(0))
    line.bench.finish(driver.start())
    line.simulated.exception = code
    quality, message = refusal(lambda: line.bench.finish(driver.read()))
    expected, words = EXCEPTIONS.get(code, (Quality.INVALID, "exception 99"))
    assert quality is expected
    assert f"bus line, unit 1, holding 0: {words}" in message


def test_a_silent_unit_is_absent_and_asked_once(line: Line) -> None:
    line.put(0, 5)
    driver = line.driver(at(0), at(10), at(20), unit_id=2)
    with pytest.raises(DeviceAbsentError, match="bus line, unit 2, holding 0: no answer"):
        line.bench.finish(driver.start())
    assert len(line.simulated.requests) == 1


def test_a_line_that_fails_is_opened_again(line: Line) -> None:
    line.put(0, 5)
    opened = []
    line.bench.line = ModbusLine("line", lambda: opened.append(1) or line.simulated)  # type: ignore[func-returns-value]
    driver = line.driver(at(0))
    line.bench.finish(driver.start())
    line.simulated.fault = errno.EIO
    with pytest.raises(BusError, match="bus line: no connection"):
        line.bench.finish(driver.read())
    line.simulated.fault = None
    line.bench.finish(driver.start())
    assert [each.value for each in line.bench.finish(driver.read())] == [5]
    assert len(opened) == 2


def test_others_on_the_line_may_have_it_between_two_requests(line: Line) -> None:
    line.put(0, 5)
    line.put(10, 6)
    driver = line.driver(at(0), at(10))
    line.bench.finish(driver.start())
    steps = driver.read()
    line.simulated.requests.clear()
    next(steps)
    assert len(line.simulated.requests) == 1


@pytest.mark.parametrize(
    ("registers", "words"),
    [
        ([], "no registers"),
        ([{"name": "a", "address": 0}, {"name": "a", "address": 1}], "two registers are named 'a'"),
        ([{"name": "a", "address": 65535, "type": "int32"}], "beyond address 65535"),
    ],
)
def test_wrong_lists_are_refused_as_configuration(line: Line, registers: list[dict[str, object]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(sensor("meter", "modbus", bus="line", registers=registers), line.bench)


def test_a_simulated_line_of_a_configuration() -> None:
    block = {"unit_id": 3, "table": "input", "address": 10, "values": {"0": 42}}
    buses = Buses([BusSettings(name="line", kind="simulated-modbus", options=Table({"blocks": [block]}))])
    assert buses.modbus("line").read(3, ModbusTable.INPUT, 10, 1) == [42]


def test_reading_before_the_start(line: Line) -> None:
    with pytest.raises(SensorError, match="not started"):
        line.bench.finish(line.driver(at(0)).read())


def test_the_sample_configuration_has_a_bus() -> None:
    text = sample(["modbus"])
    assert 'kind = "modbus-tcp"' in text
    assert 'bus = "modbus-bus"' in text
    plain = text.replace("host =", 'host = "broker" #', 1).replace("device =", 'device = "board-1" #', 1)
    parse(plain, "sample.toml")
