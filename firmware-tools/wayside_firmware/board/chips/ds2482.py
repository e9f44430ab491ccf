"""A DS2482-100, a bridge from I2C to 1-Wire, with two DS18B20 thermometers behind it.

Source: Maxim Integrated, DS2482-100 data sheet, 19-4930: "Registers", "Function Commands"; DS18B20 data
sheet, 19-7487: "Memory", "Configuration Register", "DS18B20 Function Commands".
"""

import struct

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings
from wayside_firmware.board.onewire import OneWireLine, OneWireSlave, Talk, crc8, receive, send

STATUS, DATA, CONFIG = 0xF0, 0xE1, 0xC3
DEVICE_RESET, SET_POINTER, WRITE_CONFIG, RESET, WRITE, READ, SINGLE, TRIPLET = (
    *(0xF0, 0xE1, 0xD2, 0xB4),
    *(0xA5, 0x96, 0x87, 0x78),
)
PRESENCE, LINE_HIGH, WAS_RESET, SINGLE_BIT, TRIPLET_BIT, DIRECTION = 0x02, 0x08, 0x10, 0x20, 0x40, 0x80
CONVERT, READ_SCRATCHPAD, WRITE_SCRATCHPAD = 0x44, 0xBE, 0x4E
FAMILY = 0x28
POWER_ON = 85.0
CONVERSION_S = (0.09375, 0.1875, 0.375, 0.75)
COLDER_K = 30.0
"""The second thermometer is in a place that is colder by this."""


class Ds18b20(OneWireSlave):
    """A DS18B20 with a supply of its own, for which an idle line is the answer to all that is not modelled.

    Args:
        around: the air it is in.
        serial: its number.
        below_k: how much colder its place is.
    """

    def __init__(self, around: Surroundings, serial: int, below_k: float) -> None:
        super().__init__(FAMILY, serial)
        self.fault = Fault.NONE
        self._around = around
        self._below_k = below_k
        self._celsius = POWER_ON
        self._reserved = 0x0C
        self._kept = bytes((0x4B, 0x46, 0x7F))
        self._ready_s = 0.0
        self._converting = False

    def reset(self) -> None:
        """See `OneWireSlave`; a conversion goes on, though nobody asks any more."""
        self._converting = False
        super().reset()

    def output(self) -> int:
        """See `OneWireSlave`; zeros while it converts."""
        return int(self._around.clock() >= self._ready_s) if self._converting else super().output()

    def function(self) -> Talk:
        """See `OneWireSlave`."""
        command = yield from receive()
        if command == CONVERT:
            self._convert()
            yield 1
        elif command == READ_SCRATCHPAD:
            yield from send(self._scratchpad())
        elif command == WRITE_SCRATCHPAD:
            high = yield from receive()
            low = yield from receive()
            config = yield from receive()
            self._kept = bytes((high, low, config & 0x60 | 0x1F))

    def _convert(self) -> None:
        self._converting = True
        resolution = self._kept[2] >> 5 & 3
        slow = SLOWNESS if self.fault is Fault.SLOW else 1.0
        self._ready_s = self._around.clock() + CONVERSION_S[resolution] * slow
        step = 0.5 / (1 << resolution)
        celsius = self._around.state().celsius - self._below_k
        self._celsius = POWER_ON if self.fault is Fault.OUT_OF_RANGE else round(celsius / step) * step

        # Byte 6 is reserved; chips count there as a DS18S20 does, from the first conversion on.
        self._reserved = 0x0C if self.fault is Fault.OUT_OF_RANGE else 0x10 - (round(self._celsius * 16) & 0xF)

    def _scratchpad(self) -> bytes:
        content = struct.pack("<h", round(self._celsius * 16)) + self._kept + bytes((0xFF, self._reserved, 0x10))
        return content + bytes((crc8(content),))


class Ds2482Chip:
    """The bridge.

    Args:
        around: what its thermometers measure; its seed gives their numbers.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        first = around.seed * 2 & 0xFFFF_FFFF_FFFF
        self.thermometers = (Ds18b20(around, first, 0.0), Ds18b20(around, first + 1, COLDER_K))
        self._line = OneWireLine(self.thermometers)
        self._device_reset()

    def write(self, data: bytes) -> None:
        """Take a command and its parameter."""
        for thermometer in self.thermometers:
            thermometer.fault = self.fault
        if not data:
            return
        command, parameter = data[0], data[1] if len(data) > 1 else 0
        if command == DEVICE_RESET:
            self._device_reset()
        elif command == SET_POINTER:
            self._pointer = parameter
        elif command == WRITE_CONFIG:
            self._pointer = CONFIG
            if parameter >> 4 == ~parameter & 0xF:  # the upper half must be the lower one's complement
                self._config = parameter & 0xF
        else:
            self._pointer = STATUS
            self._on_the_line(command, parameter)

    def read(self, count: int) -> bytes:
        """The register that the pointer names, over and over."""
        register = {STATUS: self._status, DATA: self._data, CONFIG: self._config}.get(self._pointer, 0xFF)
        return bytes((0xFF if self.fault is Fault.WRONG_IDENTITY else register,)) * count

    def _device_reset(self) -> None:
        self._status, self._data, self._config, self._pointer = WAS_RESET | LINE_HIGH, 0xFF, 0, STATUS

    def _on_the_line(self, command: int, parameter: int) -> None:
        self._status &= ~WAS_RESET
        if command == RESET:
            self._status = LINE_HIGH | (PRESENCE if self._line.reset() else 0)
        elif command == WRITE:
            self._line.write(parameter)
        elif command == READ:
            self._data = self._line.read()
        elif command == SINGLE:
            self._tell(self._line.slot(parameter >> 7), 0, 0)
        elif command == TRIPLET:
            bit, complement = self._line.slot(1), self._line.slot(1)
            direction = bit if bit != complement else parameter >> 7 | (bit & complement)
            self._line.slot(direction)
            self._tell(bit, complement, direction)

    def _tell(self, bit: int, complement: int, direction: int) -> None:
        self._status &= ~(SINGLE_BIT | TRIPLET_BIT | DIRECTION)
        self._status |= bit * SINGLE_BIT | complement * TRIPLET_BIT | direction * DIRECTION


MODEL = Model(Ds2482Chip, address=0x18)
