"""Sensirion's way to speak over I2C, apart from any one chip."""

import time
from dataclasses import replace

import pytest

from wayside_edge.errors import SensorError
from wayside_edge.hal.i2c import SmbusI2c
from wayside_edge.hal.sensirion import SensirionChip, answers, words
from wayside_firmware.board.bus import SimulatedBus
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.commands import CommandChip
from wayside_shared.quality import Quality
from wayside_testkit.chips import Slow
from wayside_testkit.sensing import Bench


class Register:
    """Another maker's chip: acknowledges every read, and would take a command for a write."""

    def __init__(self, value: int) -> None:
        self.fault = Fault.NONE
        self.value = value
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def read(self, count: int) -> bytes:
        return bytes((self.value,)) * count


class Answering(CommandChip):
    """A chip that answers everything with one word, after a while."""

    after_s = 0.001

    def command(self, command: int, arguments: list[int]) -> None:
        self.answer(command, after_s=self.after_s)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_words_carry_their_checksums() -> None:
    # 0xBEEF has the checksum 0x92 (SHT3x-DIS data sheet, Table 20).
    assert words(0xBEEF, 0x0000) == b"\xbe\xef\x92\x00\x00\x81"


def test_a_scan_writes_nothing_to_another_makers_chip(bench: Bench) -> None:
    chip = Register(0x55)
    bench.put(0x44, chip)
    assert answers(bench.i2c("main"), 0x44, 0xF32D, 1) is None
    assert chip.written == []


def test_a_scan_waits_for_an_answer_but_not_for_ever(bench: Bench) -> None:
    chip = Answering(bench.around)
    bench.put(0x44, chip)
    assert answers(Slow(bench), 0x44, 0xF32D, 1) == [0xF32D]
    chip.after_s = 10.0
    assert answers(Slow(bench), 0x44, 0xF32D, 1) is None


def test_a_scan_waits_on_a_bus_that_takes_no_time() -> None:
    bench = Bench()
    bus = SimulatedBus({0x44: Answering(replace(bench.around, clock=time.monotonic))})
    assert answers(SmbusI2c("main", lambda: bus), 0x44, 0xF32D, 1) == [0xF32D]


def test_a_scan_of_an_empty_address_finds_nothing(bench: Bench) -> None:
    assert answers(bench.i2c("main"), 0x44, 0xF32D, 1) is None


@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_another_makers_chip_is_no_noise(bench: Bench, value: int) -> None:
    bench.put(0x44, Register(value))
    chip = SensirionChip(bench.i2c("main"), "main", 0x44)
    with pytest.raises(SensorError, match="is no SHT3x: it does not answer command 0xf32d; check its type") as caught:
        bench.finish(chip.ask_identity(0xF32D, 1, 0.001, "SHT3x"))
    assert caught.value.quality is Quality.WRONG_CHIP


def test_an_answer_that_comes_late_is_waited_for(bench: Bench) -> None:
    model = Answering(bench.around)
    model.after_s = 0.015
    bench.put(0x44, model)
    chip = SensirionChip(bench.i2c("main"), "main", 0x44)
    assert bench.finish(chip.ask(0x2400, 1, 0.001)) == [0x2400]
    model.after_s = 0.5
    with pytest.raises(SensorError, match=r"gave no answer within 0\.021 s") as caught:
        bench.finish(chip.ask(0x2400, 1, 0.001))
    assert caught.value.quality is Quality.NOT_READY
