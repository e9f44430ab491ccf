"""What every `I2cBus` does, and what each failure of the bus beneath becomes."""

import errno
import os
from collections.abc import Callable

import pytest
from smbus2 import i2c_msg

from wayside_edge.errors import BusError, DeviceAbsentError
from wayside_edge.hal.i2c import SmbusI2c, SmbusLike
from wayside_edge.ports import I2cBus
from wayside_firmware.board.air import State
from wayside_firmware.board.bus import SimulatedBus
from wayside_firmware.board.chip import Fault
from wayside_testkit.sensing import Board


class _Memory:
    """256 bytes of registers: the smallest chip."""

    def __init__(self) -> None:
        self.fault = Fault.NONE
        self.registers = bytearray(range(256))
        self.pointer = 0

    def write(self, data: bytes) -> None:
        if data:
            self.pointer = data[0]
            self.registers[self.pointer : self.pointer + len(data) - 1] = data[1:]

    def read(self, count: int) -> bytes:
        return bytes(self.registers[self.pointer : self.pointer + count])


class _Kernel:
    """smbus2 as far as the ioctl: messages must be real `i2c_msg` and one transaction each call."""

    def __init__(self) -> None:
        self.chip = _Memory()
        self.calls: list[list[int]] = []

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        self.calls.append([message.flags for message in messages])
        for message in messages:
            if message.addr != 0x50:
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
            if message.flags & 1:
                for position, byte in enumerate(self.chip.read(message.len)):
                    message.buf[position] = bytes((byte,))
            else:
                self.chip.write(bytes(message))

    def close(self) -> None:
        pass


def simulated() -> SmbusLike:
    return SimulatedBus({0x50: _Memory()})


@pytest.fixture(params=[simulated, _Kernel], ids=["simulated", "smbus2-shaped"])
def bus(request: pytest.FixtureRequest) -> I2cBus:
    opener: Callable[[], SmbusLike] = request.param
    return SmbusI2c("main", opener)


def test_writes_then_reads_after_a_repeated_start(bus: I2cBus) -> None:
    bus.write(0x50, b"\x10\xaa\xbb")
    assert bus.write_read(0x50, b"\x0f", 4) == b"\x0f\xaa\xbb\x12"


def test_reads_from_where_the_chip_stands(bus: I2cBus) -> None:
    bus.write(0x50, b"\x20")
    assert bus.read(0x50, 2) == b"\x20\x21"


def test_reads_longer_than_an_smbus_block(bus: I2cBus) -> None:
    assert bus.write_read(0x50, b"\x00", 200) == bytes(range(200))


def test_an_empty_write_probes_an_address(bus: I2cBus) -> None:
    bus.write(0x50, b"")
    with pytest.raises(DeviceAbsentError):
        bus.write(0x51, b"")


def test_an_address_that_nobody_answers_is_named(bus: I2cBus) -> None:
    with pytest.raises(DeviceAbsentError, match="bus main: no chip answers at 0x51; check its power"):
        bus.write_read(0x51, b"\x00", 1)


def test_closing_twice_is_harmless_and_it_opens_again(bus: I2cBus) -> None:
    bus.close()
    bus.close()
    assert bus.write_read(0x50, b"\x07", 1) == b"\x07"


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EIO, "check wiring"),
        (errno.ETIMEDOUT, "a line is held low"),
        (errno.EBUSY, "a kernel driver holds this address"),
        (errno.EACCES, "permission denied"),
        (errno.EINVAL, "Invalid argument"),
    ],
)
def test_failures_of_the_bus_carry_the_fix(number: int, fix: str) -> None:
    class Broken:
        def i2c_rdwr(self, *_messages: i2c_msg) -> None:
            raise OSError(number, os.strerror(number))

        def close(self) -> None:
            pass

    with pytest.raises(BusError, match=fix) as caught:
        SmbusI2c("main", Broken).write(0x50, b"\x00")
    assert not isinstance(caught.value, DeviceAbsentError)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("fault", "expected"), [(Fault.ABSENT, DeviceAbsentError), (Fault.STUCK, BusError), (Fault.NACK, DeviceAbsentError)]
)
def test_faults_of_the_simulated_board(fault: Fault, expected: type[Exception]) -> None:
    board = Board(State(20.0, 100_000.0, 50.0))
    bus = board.i2c("main")
    board.bus.set_fault(0x76, fault)
    outcomes = []
    for _ in range(2):  # a loose contact fails every second time
        try:
            bus.write_read(0x76, b"\xd0", 1)
        except BusError as error:
            outcomes.append(type(error))
    assert set(outcomes) == {expected}
    board.bus.set_fault(0x76, Fault.NONE)
    assert bus.write_read(0x76, b"\xd0", 1) == b"\x60"
