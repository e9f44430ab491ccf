"""The simulated 1-Wire bus behind its bridge, without a kernel: numbers, searches, check bytes, time."""

import pytest

from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips import ds2482
from wayside_firmware.board.onewire import MATCH_ROM, SEARCH, SKIP_ROM, bits, crc8
from wayside_testkit.sensing import Bench


class Master:
    """Commands to the bridge, as a driver gives them."""

    def __init__(self, celsius: float) -> None:
        self.bench = Bench(State(celsius, 100_000.0, 50.0), seed=7)
        self.chip = ds2482.Ds2482Chip(self.bench.around)

    def command(self, *data: int) -> int:
        self.chip.write(bytes(data))
        return self.chip.read(1)[0]

    def select(self, rom: bytes) -> None:
        self.command(ds2482.RESET)
        for byte in (MATCH_ROM, *rom):
            self.command(ds2482.WRITE, byte)

    def read(self, count: int) -> bytes:
        found = bytearray()
        for _ in range(count):
            self.command(ds2482.READ)
            found.append(self.command(ds2482.SET_POINTER, ds2482.DATA))
        return bytes(found)

    def search(self, want: int) -> bytes:
        """The number found when every fork is taken towards `want`."""
        self.command(ds2482.RESET)
        self.command(ds2482.WRITE, SEARCH)
        found = 0
        for position in range(64):
            status = self.command(ds2482.TRIPLET, want << 7)
            found |= bool(status & ds2482.DIRECTION) << position
        return found.to_bytes(8, "little")

    def celsius(self, rom: bytes) -> float:
        self.select(rom)
        self.command(ds2482.WRITE, ds2482.READ_SCRATCHPAD)
        content = self.read(9)
        assert crc8(content) == 0, "a content with its check byte leaves no remainder"
        return int.from_bytes(content[:2], "little", signed=True) / 16


def test_the_check_byte_is_that_of_the_application_note() -> None:
    # Maxim Integrated, application note 27, example: the number 02 1C B8 01 00 00 00 has the check byte 0xA2.
    assert crc8(bytes.fromhex("021cb801000000")) == 0xA2


def test_a_search_finds_each_thermometer() -> None:
    master = Master(20.0)
    numbers = {slave.rom for slave in master.chip.thermometers}
    assert {master.search(0), master.search(1)} == numbers
    assert list(bits(b"\x01")) == [1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("celsius", [21.5, 0.0, -7.25])
def test_a_conversion_takes_its_time_and_gives_the_air(celsius: float) -> None:
    master = Master(celsius)
    warm, cold = (slave.rom for slave in master.chip.thermometers)
    assert master.celsius(warm) == ds2482.POWER_ON
    master.command(ds2482.RESET)
    master.command(ds2482.WRITE, SKIP_ROM)
    master.command(ds2482.WRITE, ds2482.CONVERT)
    assert not master.command(ds2482.SINGLE, 0x80) & ds2482.SINGLE_BIT
    master.bench.clock.sleep(0.75)
    assert master.command(ds2482.SINGLE, 0x80) & ds2482.SINGLE_BIT
    assert master.celsius(warm) == celsius
    assert master.celsius(cold) == celsius - ds2482.COLDER_K


def test_a_chosen_resolution_is_kept_and_rounds() -> None:
    master = Master(21.44)
    rom = master.chip.thermometers[0].rom
    master.select(rom)
    for byte in (ds2482.WRITE_SCRATCHPAD, 0x4B, 0x46, 0x1F):  # nine bits
        master.command(ds2482.WRITE, byte)
    master.select(rom)
    master.command(ds2482.WRITE, ds2482.CONVERT)
    master.bench.clock.sleep(0.1)
    assert master.celsius(rom) == 21.5


def test_an_impossible_measurement_is_the_value_of_power_on() -> None:
    master = Master(20.0)
    master.chip.fault = Fault.OUT_OF_RANGE
    rom = master.chip.thermometers[0].rom
    master.select(rom)
    master.command(ds2482.WRITE, ds2482.CONVERT)
    master.bench.clock.sleep(1.0)
    assert master.celsius(rom) == ds2482.POWER_ON


def test_a_configuration_without_its_complement_is_not_taken() -> None:
    master = Master(20.0)
    assert master.command(ds2482.WRITE_CONFIG, 0xE1) == 0x01
    assert master.command(ds2482.WRITE_CONFIG, 0x02) == 0x01
    master.command(ds2482.DEVICE_RESET)
    assert master.command(ds2482.SET_POINTER, ds2482.CONFIG) == 0x00
