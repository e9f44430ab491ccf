"""The PMS5003 driver against the simulated sensor, and over a real pseudo-terminal: modes, sleep, every way to fail."""

import os
import pty
import select
import time

import pytest

from wayside_edge.drivers.pms5003 import KIND, Mode, Pms5003, Pms5003Settings
from wayside_edge.errors import BusError, ConfigError, DeviceAbsentError, SensorError
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.hal.uart import SerialUart, open_serial
from wayside_edge.pipeline.guard import Guard
from wayside_edge.ports import Reading
from wayside_edge.registry import build
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.pms5003 import Pms5003Chip, frame
from wayside_firmware.board.serial import SimulatedSerial
from wayside_shared.quality import Quality
from wayside_shared.settings import Table
from wayside_testkit.chips import refusal
from wayside_testkit.sensing import Bench, finish, sensor

WORDS = (5, 8, 9, 6, 7, 10, 1200, 380, 60, 8, 3, 1, 0x9700)


class Line:
    """A simulated PMS5003 on the bench's serial line."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.bench.signals["pm_ug_m3"] = 20.0
        self.chip = Pms5003Chip(self.bench.around)
        self.serial = SimulatedSerial(self.chip)
        self.bench.tty = SerialUart("tty", lambda: self.serial)

    def driver(self, mode: Mode = Mode.ACTIVE, **settings: bool) -> Pms5003:
        return Pms5003(Pms5003Settings(mode=mode, **settings), "tty", self.bench, self.bench.clock)

    def started(self, mode: Mode = Mode.ACTIVE, **settings: bool) -> Pms5003:
        driver = self.driver(mode, **settings)
        self.bench.finish(driver.start())
        return driver

    def taken(self, driver: Pms5003) -> dict[str, Reading]:
        return {reading.name: reading for reading in self.bench.finish(driver.read())}


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.mark.parametrize("mode", Mode)
def test_it_measures_in_both_modes(line: Line, mode: Mode) -> None:
    driver = line.started(mode)
    assert line.chip.active is (mode is Mode.ACTIVE)
    found = line.taken(driver)
    assert {name: (each.value, each.unit) for name, each in found.items()} == {
        "pm1_0": (14, "ug/m3"),
        "pm2_5": (20, "ug/m3"),
        "pm10": (24, "ug/m3"),
    }


def test_a_measurement_is_newer_than_the_read(line: Line) -> None:
    driver = line.started()
    line.bench.clock.sleep(60.0)
    assert line.serial.in_waiting > 0, "what it sent meanwhile waits in the port"
    line.bench.signals["pm_ug_m3"] = 100.0
    assert line.taken(driver)["pm2_5"].value == 100


def test_all_that_a_frame_has_on_request(line: Line) -> None:
    found = line.taken(line.started(standard=True, counts=True))
    assert found["pm2_5_standard"].value == 20
    assert (found["particles_0_3um"].value, found["particles_0_3um"].unit) == (3600, "/dL")
    assert len(found) == 12


@pytest.mark.parametrize("mode", Mode)
def test_the_first_half_minute_is_unsteady(line: Line, mode: Mode) -> None:
    driver = line.started(mode)
    assert {each.quality for each in line.taken(driver).values()} == {Quality.UNSTABLE}
    line.bench.clock.sleep(30.0)
    assert {each.quality for each in line.taken(driver).values()} == {Quality.GOOD}


def test_it_sleeps_between_reads_and_is_steady_in_them(line: Line) -> None:
    driver = line.started(Mode.PASSIVE, sleep=True)
    assert line.chip.asleep
    line.bench.clock.sleep(600.0)
    before_s = line.bench.clock.now_s
    assert {each.quality for each in line.taken(driver).values()} == {Quality.GOOD}
    assert 30.0 <= line.bench.clock.now_s - before_s < 32.0
    assert line.chip.asleep


def test_waking_up_leaves_the_line_to_itself(line: Line) -> None:
    driver = line.started(Mode.PASSIVE, sleep=True)
    steps = driver.read()
    assert next(steps) == 30.0


def test_it_starts_from_whatever_state_the_sensor_is_in(line: Line) -> None:
    line.started(Mode.PASSIVE, sleep=True)
    assert line.chip.asleep
    assert line.taken(line.started(Mode.ACTIVE))["pm2_5"].value == 20


FAULTS = [
    (Fault.ABSENT, Quality.ABSENT, "nothing came"),
    (Fault.SLOW, Quality.ABSENT, "nothing came"),
    (Fault.CORRUPT, Quality.CHECKSUM, "checksum that does not fit"),
    (Fault.WRONG_IDENTITY, Quality.WRONG_CHIP, "no frame of a PMS5003"),
    (Fault.STUCK, Quality.BUS_FAULT, "is its cable plugged in"),
]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("fault", "quality", "words"), FAULTS)
def test_every_fault_has_its_quality_and_ends(
    line: Line, mode: Mode, fault: Fault, quality: Quality, words: str
) -> None:
    driver = line.started(mode)
    line.serial.set_fault(fault)
    line.chip.power_cycle() if fault is Fault.SLOW else None
    with pytest.raises((BusError, SensorError), match=rf"^bus tty: .*{words}") as caught:
        line.taken(driver)
    assert caught.value.quality is quality
    line.serial.set_fault(Fault.NONE)
    line.chip.power_cycle()
    line.bench.finish(driver.start())
    assert line.taken(driver)["pm2_5"].value == 20


def test_an_impossible_concentration_is_no_measurement(line: Line) -> None:
    driver = line.started()
    line.serial.set_fault(Fault.OUT_OF_RANGE)
    found = Guard(KIND.quantities).check(list(line.taken(driver).values()))
    assert {(each.value, each.quality) for each in found if each.name != "pm1_0"} == {(None, Quality.OUT_OF_RANGE)}


def test_another_speed_is_no_frame(line: Line) -> None:
    driver = line.started()
    line.chip.receive = lambda: b"\x00\xf8\x80\x78"  # type: ignore[method-assign]
    assert refusal(lambda: line.taken(driver))[0] is Quality.WRONG_CHIP


def test_sleep_needs_the_mode_that_can_wake_it(line: Line) -> None:
    with pytest.raises(ConfigError, match='sleep = true needs mode = "passive"'):
        build(sensor("dust", "pms5003", bus="tty", sleep=True), line.bench)


class Terminal:
    """A pseudo-terminal: the test has one end, the driver opens the other through pyserial."""

    def __init__(self) -> None:
        self.end, other = pty.openpty()
        self.port = os.ttyname(other)
        self.other = other
        self.bench = Bench()
        self.bench.tty = SerialUart("tty", lambda: open_serial(self.port))

    def close(self) -> None:
        os.close(self.end)
        os.close(self.other)


def test_over_a_real_terminal_between_noise_and_a_broken_frame() -> None:
    terminal = Terminal()
    try:
        driver = Pms5003(Pms5003Settings(), "tty", terminal.bench, time.monotonic)
        good, broken = frame(*WORDS), bytearray(frame(*WORDS))
        broken[10] ^= 0xFF
        stream = b"\x42\x00\x4d" + good[20:] + bytes(broken) + b"BM\x00\x04\xe1\x01\x01\x75" + good

        def send(_seconds: float) -> None:
            os.write(terminal.end, stream)
            select.select([terminal.other], [], [], 10.0)  # the kernel carries it over in its own time

        finish(driver.start(), send)
        asked = bytes.fromhex("424de400010174424de100010171")
        assert b"".join(os.read(terminal.end, 1) for _ in asked) == asked
        found = {reading.name: reading.value for reading in finish(driver.read(), send)}
        assert found == {"pm1_0": 6, "pm2_5": 7, "pm10": 10}
    finally:
        terminal.close()


def test_a_port_that_is_not_there_and_one_that_is_taken() -> None:
    terminal = Terminal()
    try:
        first = open_serial(terminal.port)
        with pytest.raises(BusError, match="bus tty: another program has the port"):
            terminal.bench.uart("tty", baud=9600)
        first.close()
        missing = Buses([BusSettings(name="tty", kind="uart", options=Table({"port": "/dev/no-such-port"}))])
        with pytest.raises(BusError, match=r"bus tty: no such port.*raspi-config"):
            missing.uart("tty", baud=9600)
    finally:
        terminal.close()


def test_a_simulated_line_of_a_configuration() -> None:
    options = Table({"chips": [{"model": "pms5003", "signals": {"pm_ug_m3": 50.0}}]})
    buses = Buses([BusSettings(name="tty", kind="simulated-uart", options=options)])
    uart = buses.uart("tty", baud=9600)
    uart.write(bytes.fromhex("424de100000170"))
    uart.discard()
    uart.write(bytes.fromhex("424de200000171"))
    assert uart.read()[12:14] == b"\x00\x32"


@pytest.mark.parametrize(
    ("chips", "words"),
    [([], "0 chips"), ([{"model": "pms5003"}] * 2, "room for one"), ([{"model": "bme280"}], "no serial line")],
)
def test_what_cannot_be_on_a_serial_line(chips: list[dict[str, str]], words: str) -> None:
    buses = Buses([BusSettings(name="tty", kind="simulated-uart", options=Table({"chips": chips}))])
    with pytest.raises(ConfigError, match=words):
        buses.uart("tty", baud=9600)


def test_a_sensor_that_says_nothing_names_the_wires(line: Line) -> None:
    line.serial.set_fault(Fault.ABSENT)
    with pytest.raises(DeviceAbsentError, match="crossed over"):
        line.started(Mode.PASSIVE)
