"""Conversations with Modbus devices, byte by byte, over TCP and as RTU frames. Append-only."""

import os
import pty
import socket
import threading
import tty
from collections.abc import Callable

import pytest

from wayside_edge.errors import SensorError
from wayside_edge.hal.modbus import ModbusLine, ModbusRtuSettings, ModbusTcpSettings, Parity, open_rtu, open_tcp
from wayside_edge.ports import ModbusTable

# Modbus Application Protocol Specification V1.1b3, the examples of sections 6.1 to 6.4: what is asked, what is
# answered, and the values; the last is the exception of section 7.
PROTOCOL = [
    (ModbusTable.COIL, 19, 19, "0100130013", "0103cd6b05", "1011001111010110101"),
    (ModbusTable.DISCRETE, 196, 22, "0200c40016", "0203acdb35", "0011010111011011101011"),
    (ModbusTable.HOLDING, 107, 3, "03006b0003", "0306022b00000064", [555, 0, 100]),
    (ModbusTable.INPUT, 8, 1, "0400080001", "0402000a", [10]),
    (ModbusTable.COIL, 1185, 1, "0104a10001", "8102", None),
]

# A frame with its check that most introductions to Modbus show: unit 17, registers 40108 to 40110.
RTU = (17, 107, 3, "1103006b00037687", "110306ae415652434049ad", [0xAE41, 0x5652, 0x4340])


def converse(
    read: Callable[[int], bytes], write: Callable[[bytes], object], asked: bytes, answer: bytes
) -> list[bytes]:
    """Take the request in a thread's stead, and answer it."""
    heard = b""
    while len(heard) < len(asked):
        heard += read(len(asked) - len(heard))
    write(answer)
    return [heard]


@pytest.mark.parametrize(("table", "address", "count", "asked", "answer", "values"), PROTOCOL)
def test_the_examples_of_the_specification(
    table: ModbusTable, address: int, count: int, asked: str, answer: str, values: list[int] | str | None
) -> None:
    unit = bytes((7,))
    request = unit + bytes.fromhex(asked)
    response = unit + bytes.fromhex(answer)
    # The header over TCP: transaction, protocol 0, length (Modbus Messaging on TCP/IP V1.0b, section 3.1.3).
    head = b"\x00\x01\x00\x00"
    request = head + len(request).to_bytes(2, "big") + request
    response = head + len(response).to_bytes(2, "big") + response
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                heard.extend(converse(peer.recv, peer.sendall, request, response))
                peer.recv(1)  # until the other side is done

        thread = threading.Thread(target=serve)
        thread.start()
        line = ModbusLine("line", lambda: open_tcp(ModbusTcpSettings(host="127.0.0.1", port=server.getsockname()[1])))
        try:
            if values is None:
                with pytest.raises(SensorError, match="illegal data address"):
                    line.read(7, table, address, count)
            else:
                assert list(line.read(7, table, address, count)) == [int(value) for value in values]
        finally:
            line.close()
            thread.join(10)
    assert heard == [request]


def test_a_frame_on_a_serial_line() -> None:
    unit, address, count, asked, answer, values = RTU
    end, port = pty.openpty()
    tty.setraw(port)
    heard: list[bytes] = []

    def serve() -> None:
        request = bytes.fromhex(asked)
        response = bytes.fromhex(answer)
        heard.extend(converse(lambda size: os.read(end, size), lambda data: os.write(end, data), request, response))

    thread = threading.Thread(target=serve)
    thread.start()
    settings = ModbusRtuSettings(port=os.ttyname(port), baud=9600, parity=Parity.NONE)
    line = ModbusLine("line", lambda: open_rtu(settings))
    try:
        assert line.read(unit, ModbusTable.HOLDING, address, count) == values
    finally:
        line.close()
        thread.join(10)
        os.close(end)
        os.close(port)
    assert heard == [bytes.fromhex(asked)]
