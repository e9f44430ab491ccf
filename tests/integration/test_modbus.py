"""The Modbus driver against pymodbus' own server, over TCP and over a serial line with RTU frames."""

import socket
from collections.abc import Callable, Iterator

import pytest
from pymodbus.simulator import DataType, SimData, SimDevice

from wayside_edge.drivers.modbus import Modbus, ModbusRegister, ModbusSettings, Type
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.modbus import ModbusLine, ModbusRtuSettings, ModbusTcpSettings, Parity, open_rtu, open_tcp
from wayside_edge.ports import ModbusTable
from wayside_shared.quality import Quality
from wayside_testkit.modbus import ServerMaker, null_modem, running
from wayside_testkit.sensing import Bench

NUMBERS = {
    Type.INT16: (DataType.INT16, -1234),
    Type.UINT16: (DataType.UINT16, 54_321),
    Type.INT32: (DataType.INT32, -123_456_789),
    Type.UINT32: (DataType.UINT32, 3_123_456_789),
    Type.INT64: (DataType.INT64, -(2**40) - 7),
    Type.UINT64: (DataType.UINT64, 2**63 + 5),
    Type.FLOAT32: (DataType.FLOAT32, 230.5),
    Type.FLOAT64: (DataType.FLOAT64, -0.1),
}


def device() -> SimDevice:
    words = [SimData(10 * index, values=value, datatype=kind) for index, (kind, value) in enumerate(NUMBERS.values())]
    bits = [SimData(0, values=[True, False, True], datatype=DataType.BITS)]
    inputs = [SimData(500, values=[111, 222], datatype=DataType.REGISTERS)]
    return SimDevice(7, simdata=(bits, bits, words, inputs))


def tcp() -> Iterator[ModbusLine]:
    with running(ServerMaker([device()])) as server:
        port = server.transport.sockets[0].getsockname()[1]
        line = ModbusLine("line", lambda: open_tcp(ModbusTcpSettings(host="127.0.0.1", port=port, timeout_s=0.3)))
        yield line
        line.close()


def rtu() -> Iterator[ModbusLine]:
    with null_modem() as (ours, theirs), running(ServerMaker([device()], theirs)):
        settings = ModbusRtuSettings(port=ours, parity=Parity.NONE, timeout_s=0.3)
        line = ModbusLine("line", lambda: open_rtu(settings))
        yield line
        line.close()


@pytest.fixture(params=[tcp, rtu])
def line(request: pytest.FixtureRequest) -> Iterator[ModbusLine]:
    opened: Callable[[], Iterator[ModbusLine]] = request.param
    yield from opened()


def taken(line: ModbusLine, *registers: ModbusRegister, unit_id: int = 7) -> dict[str, object]:
    bench = Bench()
    bench.line = line
    driver = Modbus(ModbusSettings(unit_id=unit_id, registers=list(registers)), "line", bench)
    bench.finish(driver.start())
    return {reading.name: reading.value for reading in bench.finish(driver.read())}


def test_every_type_as_their_server_writes_it(line: ModbusLine) -> None:
    registers = [ModbusRegister(name=kind.value, address=10 * index, type=kind) for index, kind in enumerate(NUMBERS)]
    assert taken(line, *registers) == {kind.value: value for kind, (_, value) in NUMBERS.items()}


def test_bits_and_input_registers(line: ModbusLine) -> None:
    tables = (ModbusTable.COIL, ModbusTable.DISCRETE)
    bits = [ModbusRegister(name=f"{table.value}{at}", address=at, table=table) for table in tables for at in range(3)]
    words = [ModbusRegister(name=f"input{at}", address=at, table=ModbusTable.INPUT) for at in (500, 501)]
    assert taken(line, *bits, *words) == {
        **{f"{table.value}{at}": at != 1 for table in tables for at in range(3)},
        "input500": 111,
        "input501": 222,
    }


def test_a_register_that_is_not_there(line: ModbusLine) -> None:
    with pytest.raises(SensorError, match=r"unit 7, holding 4000: illegal data address") as caught:
        taken(line, ModbusRegister(name="none", address=4000))
    assert caught.value.quality is Quality.INVALID


def test_a_device_that_is_silent_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = ModbusTcpSettings(host="127.0.0.1", port=silent.getsockname()[1], timeout_s=0.05)
        line = ModbusLine("line", lambda: open_tcp(settings))
        with pytest.raises(DeviceAbsentError, match="unit 9, input 500: no answer"):
            line.read(9, ModbusTable.INPUT, 500, 1)


def test_a_device_that_is_silent_on_a_serial_line_and_then_answers() -> None:
    with null_modem() as (ours, theirs):
        settings = ModbusRtuSettings(port=ours, parity=Parity.NONE, timeout_s=0.3)
        line = ModbusLine("line", lambda: open_rtu(settings))
        with pytest.raises(DeviceAbsentError, match="unit 7, input 500: no answer"):
            line.read(7, ModbusTable.INPUT, 500, 1)
        with running(ServerMaker([device()], theirs)):
            assert line.read(7, ModbusTable.INPUT, 500, 2) == [111, 222]
        line.close()


def test_a_host_that_takes_no_connection() -> None:
    with running(ServerMaker([device()])) as server:
        port = server.transport.sockets[0].getsockname()[1]
    line = ModbusLine("line", lambda: open_tcp(ModbusTcpSettings(host="127.0.0.1", port=port, timeout_s=0.3)))
    with pytest.raises(BusError, match=r"bus line: no connection: check the device's power"):
        line.read(1, ModbusTable.HOLDING, 0, 1)


def test_a_port_that_is_not_there() -> None:
    line = ModbusLine("line", lambda: open_rtu(ModbusRtuSettings(port="/dev/no-such-port")))
    with pytest.raises(BusError, match="bus line: no such port"):
        line.read(1, ModbusTable.HOLDING, 0, 1)
