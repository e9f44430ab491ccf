"""The other side of the board's buses: answers the kernel with the simulated chips of `wayside_firmware.board`.

Frames: tests/board/kernel/module/vboard.h.
"""

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wayside_firmware.board import Fault, SimulatedBus, SimulatedSpi, open_bus, open_spi
from wayside_firmware.board.bus import I2C_M_RD

DOOR = "/dev/vboard"
REQUEST, ANSWER = struct.Struct("=IBBHI"), struct.Struct("=IiI")
I2C_HEAD, SPI_HEAD, GPIO_STATE = struct.Struct("=HHHH"), struct.Struct("=IIBBBB"), struct.Struct("=BBBB")
I2C, SPI, GPIO = 1, 2, 3
DRIVE, RELEASE = 1, 2


@dataclass(slots=True)
class Message:
    """One message of an I2C transaction, as `SimulatedBus` takes it."""

    addr: int
    flags: int
    len: int
    buf: Any


@dataclass(frozen=True, slots=True)
class LineState:
    """A GPIO line as the guest's kernel has it."""

    level: int
    is_output: int
    pulled_up: int


class Wiring:
    """What is behind the kernel's buses.

    Args:
        i2c: the chips of /dev/i2c-0.
        spi: the chips of /dev/spidev0.0 and on.
    """

    def __init__(self, i2c: SimulatedBus, spi: SimulatedSpi) -> None:
        self.i2c = i2c
        self.spi = spi
        self.lines: dict[int, LineState] = {}

    def answer(self, frame: bytes) -> bytes | None:
        """The answer to a frame of the kernel; None for one that wants none, or never gets one.

        What times out is told by silence: the adapter gives up by itself, as a real one does.
        """
        number, kind, bus, count, _length = REQUEST.unpack_from(frame)
        payload = frame[REQUEST.size :]
        if kind == GPIO:
            line, *state = GPIO_STATE.unpack(payload)
            self.lines[line] = LineState(*state)
            return None
        try:
            data = self._i2c(payload, count) if kind == I2C else self._spi(bus, payload, count)
        except OSError as error:
            return None if error.errno == errno.ETIMEDOUT else _answer(number, -(error.errno or errno.EIO))
        return _answer(number, 0, data)

    def _i2c(self, payload: bytes, count: int) -> bytes:
        messages = _messages(payload, count)
        self.i2c.i2c_rdwr(*messages)
        return b"".join(bytes(message.buf) for message in messages if message.flags & I2C_M_RD)

    def _spi(self, chip_select: int, payload: bytes, count: int) -> bytes:
        """All transfers of a message are one to the chip, which stays selected."""
        sent, at = b"", 0
        for _ in range(count):
            length, _speed_hz, _mode, _bits, cs_change, _ = SPI_HEAD.unpack_from(payload, at)
            if cs_change:
                raise OSError(errno.EINVAL, "the chip select changes within a message")
            at += SPI_HEAD.size + length
            sent += payload[at - length : at]
        if chip_select not in self.spi.chips:
            raise OSError(errno.ENXIO, "no chip is there")  # the controller reads ones
        return bytes(self.spi.open(chip_select).xfer2(list(sent)))


class Bench:
    """The board's wiring, connected to the kernel until the machine ends."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self._handle = os.open(DOOR, os.O_RDWR)
        threading.Thread(target=self._serve, daemon=True).start()

    def drive(self, line: int, level: int) -> None:
        """Hold a line at a level from outside."""
        os.write(self._handle, _answer(0, 0, bytes((DRIVE, line, level))))

    def release(self, line: int) -> None:
        """Let a line float, or follow its pull-up."""
        os.write(self._handle, _answer(0, 0, bytes((RELEASE, line, 0))))

    def _serve(self) -> None:
        while True:
            answer = self.wiring.answer(os.read(self._handle, 65536))
            if answer is not None:
                try:
                    os.write(self._handle, answer)
                except OSError as error:
                    if error.errno != errno.ESTALE:  # the adapter gave up waiting
                        raise


_bench: list[Bench] = []


def plug(i2c: Mapping[str, object], spi: Mapping[str, object]) -> None:
    """Put chips on the buses, once a boot.

    Args:
        i2c: the settings of a bus of kind `simulated`.
        spi: the settings of a bus of kind `simulated-spi`.
    """
    _bench.append(Bench(Wiring(open_bus(i2c), open_spi(spi))))


def set_fault(address: int, fault: str) -> None:
    """Break the I2C chip at `address` in the way `fault`, or mend it with `none`."""
    _bench[0].wiring.i2c.set_fault(address, Fault(fault))


def set_spi_fault(chip_select: int, fault: str) -> None:
    """Break the SPI chip at `chip_select` in the way `fault`, or mend it with `none`."""
    _bench[0].wiring.spi.set_fault(chip_select, Fault(fault))


def drive(line: int, level: int) -> None:
    """Hold a GPIO line at a level from outside."""
    _bench[0].drive(line, level)


def release(line: int) -> None:
    """Let a GPIO line float, or follow its pull-up."""
    _bench[0].release(line)


def line_state(line: int) -> tuple[int, int, int]:
    """Level, direction (1 is output) and pull-up of a GPIO line, as the kernel last told."""
    state = _bench[0].wiring.lines[line]
    return state.level, state.is_output, state.pulled_up


def _messages(payload: bytes, count: int) -> list[Message]:
    messages, at = [], 0
    for _ in range(count):
        address, flags, length, _ = I2C_HEAD.unpack_from(payload, at)
        at += I2C_HEAD.size
        buffer = ctypes.create_string_buffer(length)
        if not flags & I2C_M_RD:
            buffer.raw = payload[at : at + length]
            at += length
        messages.append(Message(address, flags, length, buffer))
    return messages


def _answer(number: int, status: int, payload: bytes = b"") -> bytes:
    return ANSWER.pack(number, status, len(payload)) + payload
