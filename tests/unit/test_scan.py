"""`wayside-edge scan`: on simulated buses, and on recorded trees of /sys."""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from smbus2 import i2c_msg

from wayside_edge import config, registry
from wayside_edge.__main__ import main, parser
from wayside_edge.commands import scan
from wayside_edge.commands.scan import Chip, Scanner
from wayside_edge.errors import BusError
from wayside_edge.hal.discovery import Discovery, Interface
from wayside_edge.hal.i2c import SmbusI2c
from wayside_edge.hal.probe import READ_ONLY
from wayside_edge.ports import DriverKind
from wayside_firmware.board.chip import Fault
from wayside_testkit.machine import Machine
from wayside_testkit.sensing import Board, State

I2C_M_RD = 1


class Recorder:
    """An I2C bus that notes what is sent and lets chips answer at `present`."""

    def __init__(self, present: Sequence[int] = (), *, failing: Mapping[int, int] | None = None, quick: bool = True):
        self.present = present
        self.failing = failing or {}
        self.quick = quick
        self.seen: list[tuple[int, bool, int]] = []

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        for message in messages:
            self.seen.append((message.addr, bool(message.flags & I2C_M_RD), message.len))
            if message.len == 0 and not self.quick:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            number = self.failing.get(message.addr, 0 if message.addr in self.present else errno.EREMOTEIO)
            if number:
                raise OSError(number, os.strerror(number))

    def close(self) -> None:
        pass


def kinds() -> dict[str, DriverKind]:
    found = {name: registry.load(name) for name in registry.DRIVERS}
    return {name: kind for name, kind in found.items() if kind is not None}


def scanned(bus: Recorder, held: Mapping[int, str] | None = None, **options: bool) -> list[Chip]:
    return list(Scanner(kinds(), **options).scan(SmbusI2c("main", lambda: bus), held or {}))


def test_addresses_of_eeproms_are_only_ever_read() -> None:
    bus = Recorder(present=range(0x08, 0x78))
    scanned(bus)
    careful = {(reads, length) for address, reads, length in bus.seen if address in READ_ONLY}
    assert careful == {(True, 1)}
    assert {address for address, *_ in bus.seen} == set(range(0x08, 0x78))


def test_addresses_where_nothing_answers_see_one_probe_without_data() -> None:
    bus = Recorder()
    assert scanned(bus) == []
    assert bus.seen == [(address, address in READ_ONLY, int(address in READ_ONLY)) for address in range(0x08, 0x78)]


def test_an_adapter_that_cannot_send_an_address_alone_reads_a_byte() -> None:
    chips = scanned(Recorder(present=[0x08], quick=False))
    assert chips == [Chip(0x08, [], [], [])]


def test_an_adapter_that_says_eio_when_nothing_answers_is_believed() -> None:
    assert scanned(Recorder(failing=dict.fromkeys(range(0x08, 0x78), errno.EIO))) == []


def test_addresses_that_the_kernel_holds_are_left_alone() -> None:
    bus = Recorder(present=[0x68])
    assert scanned(bus, {0x68: "rtc-ds1307 (ds3231)"}) == [Chip(0x68, held_by="rtc-ds1307 (ds3231)")]
    assert 0x68 not in {address for address, *_ in bus.seen}


def test_a_chip_that_stretches_the_clock_does_not_hide_the_others() -> None:
    chips = scanned(Recorder(present=[0x20], failing={0x10: errno.ETIMEDOUT}))
    assert [(chip.address, "timed out" in chip.trouble) for chip in chips] == [(0x10, True), (0x20, False)]


def test_a_stuck_bus_is_given_up_after_three_addresses() -> None:
    bus = Recorder(failing=dict.fromkeys(range(0x08, 0x78), errno.ETIMEDOUT))
    with pytest.raises(BusError, match="timed out: a line is held low"):
        scanned(bus)
    assert len(bus.seen) == 3


def test_kinds_that_cannot_tell_are_possible_and_those_that_deny_are_told() -> None:
    blind = DriverKind("Blind", dict, lambda *_: None, families=("i2c",), addresses=(0x20, 0x52))  # type: ignore[arg-type, return-value]
    sure = DriverKind("Sure", dict, lambda *_: None, ("i2c",), (), (0x20, 0x52), lambda *_: True)  # type: ignore[arg-type, return-value]
    unsure = DriverKind("Not", dict, lambda *_: None, ("i2c",), (), (0x20,), lambda *_: False)  # type: ignore[arg-type, return-value]
    known = {"blind": blind, "sure": sure, "unsure": unsure}
    bus = SmbusI2c("main", lambda: Recorder(present=[0x20, 0x52]))
    assert list(Scanner(known).scan(bus, {})) == [
        Chip(0x20, ["sure"], ["blind"], ["unsure"]),
        Chip(0x52, [], ["blind", "sure"], []),
    ]
    assert list(Scanner(known, ask_all=True).scan(bus, {}))[1] == Chip(0x52, ["sure"], ["blind"], [])


SIMULATED = """
[[bus]]
name = "lab"
kind = "simulated"
chips = [
  { model = "bme280", address = 0x77 },
  { model = "bmp280", address = 0x76 },
  { model = "sht4x" },
  { model = "mpu6050" },
]
"""


def test_asking_all_finds_a_chip_that_acknowledges_no_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "board.toml"
    file.write_text('[[bus]]\nname = "lab"\nkind = "simulated"\nchips = [{ model = "sgp40" }]\n')
    assert typed(tmp_path, "--config", file) == 0
    assert "0x59" not in capsys.readouterr().out
    assert typed(tmp_path, "--config", file, "--ask-all") == 0
    assert "0x59  sgp40" in capsys.readouterr().out


def lab(folder: Path) -> Path:
    file = folder / "board.toml"
    file.write_text(SIMULATED)
    return file


def typed(root: Path, *words: str | Path) -> int:
    return scan.run(parser().parse_args(["scan", *map(str, words)]), root)


def test_a_simulated_bus_becomes_a_configuration_that_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = lab(tmp_path)
    assert typed(tmp_path, "--config", file, "--toml") == 0
    file.write_text(SIMULATED + capsys.readouterr().out)
    found = {sensor.kind: sensor.options.values["address"] for sensor in config.load_board(file).sensor}
    assert found == {"bme280": 0x77, "bmp280": 0x76, "sht4x": 0x44, "mpu6050": 0x68}


def test_sensors_of_the_configuration_are_not_printed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = lab(tmp_path)
    has = '[[sensor]]\nname = "mpu6050"\nkind = "sht4x"\nbus = "lab"\n'
    file.write_text(SIMULATED + has)
    assert typed(tmp_path, "--config", file, "--toml") == 0
    printed = capsys.readouterr().out
    assert "# lab, 0x44 is 'mpu6050' of the configuration" in printed.splitlines()
    file.write_text(SIMULATED + has + printed)
    names = [(sensor.name, sensor.kind) for sensor in config.load_board(file).sensor]
    assert names == [("mpu6050", "sht4x"), ("mpu6050-2", "mpu6050"), ("bmp280", "bmp280"), ("bme280", "bme280")]
    typed(tmp_path, "--config", file, "--toml")
    assert not [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


def test_a_chip_that_cannot_be_told_is_a_comment_that_is_right_without_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = '[[bus]]\nname = "lab"\nkind = "simulated"\nchips = [{ model = "mcp23017" }, { model = "ads1115" }]\n'
    file = tmp_path / "board.toml"
    file.write_text(bus)
    assert typed(tmp_path, "--config", file, "--toml") == 0
    printed = capsys.readouterr().out
    file.write_text(bus + printed)
    certain = [sensor.kind for sensor in config.load_board(file).sensor]
    assert "mcp23017" not in certain
    lines = printed.splitlines()
    at = lines.index("# lab, 0x20: maybe mcp23017, which cannot be told by reading. If it is one, take the marks away:")
    end = lines.index("", at)
    file.write_text(bus + "\n".join(line.removeprefix("# ") for line in lines[at + 1 : end]))
    assert [sensor.kind for sensor in config.load_board(file).sensor] == ["mcp23017"]


@pytest.mark.parametrize("name", [name for name, kind in sorted(kinds().items()) if kind.addresses])
def test_what_is_printed_for_each_kind_is_right(name: str, tmp_path: Path) -> None:
    address = kinds()[name].addresses[0]
    bus = scan.Scanned("lab", 1, "", configured=False, chips=[Chip(address, [name])])
    file = tmp_path / "edge.toml"
    file.write_text("\n".join(scan._toml([bus], [], config.BoardSettings())))
    (sensor,) = config.load_board(file).sensor
    assert (sensor.kind, sensor.options.values["address"]) == (name, address)


def test_buses_of_the_configuration_that_cannot_be_scanned_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "board.toml"
    file.write_text('[[bus]]\nname = "lab"\nkind = "simulated-spi"\nchips = [{ model = "mcp3008" }]\n')
    assert typed(tmp_path, "--config", file) == 0
    assert "spi     lab  of the configuration, kind simulated-spi" in capsys.readouterr().out.splitlines()


def test_what_the_kernel_has_becomes_tables_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(State(20.0, 101_325.0, 50.0))
    machine = Machine(tmp_path)
    machine.adapter(1)
    monkeypatch.setattr("wayside_edge.hal.buses._smbus", {1: board.bus}.__getitem__)
    assert typed(tmp_path, "--toml") == 0
    file = machine.file("edge.toml", capsys.readouterr().out)
    settings = config.load_board(file)
    assert [(bus.name, bus.kind, bus.options.values) for bus in settings.bus] == [("i2c-1", "i2c", {"number": 1})]
    assert [(sensor.name, sensor.bus) for sensor in settings.sensor] == [("bme280", "i2c-1")]


def test_thermometers_on_1_wire_and_devices_of_the_kernel_become_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path)
    for name in ("28-0316a2795dff", "28-0316a2795e00", "26-000000000001", "w1_bus_master1"):
        machine.file(f"sys/bus/w1/devices/{name}/uevent")
    machine.file("sys/bus/iio/devices/iio:device0/name", "bme280\n")
    assert typed(tmp_path, "--toml") == 0
    settings = config.load_board(machine.file("edge.toml", capsys.readouterr().out))
    assert [(sensor.name, sensor.kind, dict(sensor.options.values)) for sensor in settings.sensor] == [
        ("ds18b20", "ds18b20", {"id": "28-0316a2795dff"}),
        ("ds18b20-2", "ds18b20", {"id": "28-0316a2795e00"}),
        ("iio", "iio", {"device": "bme280"}),
    ]


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(State(20.0, 101_325.0, 50.0))
    board.put(0x08, board.chip)
    machine = Machine(tmp_path)
    machine.adapter(1)
    machine.client(1, 0x68, "ds3231", "rtc-ds1307")
    machine.client(1, 0x51, "24c32", None)
    machine.adapter(20, "fef04500.i2c")
    machine.spi(0, 1)
    monkeypatch.setattr("wayside_edge.hal.buses._smbus", {1: board.bus}.__getitem__)
    assert typed(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "i2c-1  bcm2835 (i2c@7e804000)",
        "  0x08  unknown: no driver has this address; to write a driver: wayside-edge new-driver NAME",
        "  0x68  held by the kernel driver rtc-ds1307 (ds3231); read it as kind iio or hwmon, or remove its overlay",
        "  0x76  bme280  Bosch BME280: temperature, pressure and humidity",
        "i2c-20  fef04500.i2c",
        "  not scanned, it belongs to a display or a main board: --bus i2c-20",
        "spi     /dev/spidev0.1  free",
    ]


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(tmp_path, "--config", lab(tmp_path), "--json") == 0
    (bus,) = json.loads(capsys.readouterr().out)["i2c"]
    assert (bus["bus"], bus["number"], bus["trouble"]) == ("lab", None, "")
    assert {chip["address"]: chip["kinds"] for chip in bus["chips"]} == {
        0x44: ["sht4x"],
        0x68: ["mpu6050"],
        0x76: ["bmp280"],
        0x77: ["bme280"],
    }


@pytest.mark.parametrize("name", ["1", "i2c-1", "/dev/i2c-1"])
def test_a_bus_by_any_of_its_names(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    machine.adapter(1)
    machine.adapter(2)
    file = machine.file("edge.toml", '[[bus]]\nname = "main"\nkind = "simulated"\nchips = []\n')
    typed(tmp_path, "--config", file, "--bus", "main", "--bus", name, "--json")
    assert [bus["bus"] for bus in json.loads(capsys.readouterr().out)["i2c"]] == ["main", "i2c-1"]


def test_a_bus_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--config", str(lab(tmp_path)), "--bus", "lad"]) == 1
    assert capsys.readouterr().err == "wayside-edge: there is no I2C bus lad; did you mean 'lab'?\n"
    with pytest.raises(BusError, match="there is no I2C bus 1; enable I2C"):
        typed(tmp_path, "--bus", "1")


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EACCES, "add this user to the group that owns the device (usually i2c)"), (errno.ENOENT, "enable I2C")],
)
def test_a_bus_that_cannot_be_opened_is_told_and_the_others_are_scanned(
    number: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_number: int) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("wayside_edge.hal.buses._smbus", refused)
    Machine(tmp_path).adapter(1)
    assert typed(tmp_path, "--config", lab(tmp_path)) == 1
    printed = capsys.readouterr().out
    assert said in printed
    assert "0x77  bme280" in printed


def test_a_machine_without_buses_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(tmp_path) == 0
    assert "enable I2C" in capsys.readouterr().out


def test_a_chip_that_is_silent_is_not_found(tmp_path: Path) -> None:
    board = Board(State(20.0, 101_325.0, 50.0))
    board.bus.set_fault(0x76, Fault.ABSENT)
    assert list(Scanner(kinds()).scan(board.i2c("main"), {})) == []


def test_interfaces_besides_i2c(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.spi(0, 0)
    machine.spi(1, 0, "spi-nor")
    machine.link("sys/bus/gpio/devices/gpiochip0", "../../../devices/platform/fe200000.gpio/gpiochip0")
    machine.file("sys/bus/w1/devices/28-0316a2795dff/w1_slave")
    machine.file("sys/bus/w1/devices/w1_bus_master1/uevent")
    machine.file("sys/bus/iio/devices/iio:device0/name", "bme280\n")
    machine.file("sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    for name, driver, kind in (("ttyS0", "serial8250", "0"), ("ttyAMA0", "uart-pl011", "32"), ("tty1", None, "")):
        machine.file(f"sys/class/tty/{name}/type", f"{kind}\n")
        if driver is not None:
            machine.link(f"sys/class/tty/{name}/device/driver", f"../drivers/{driver}")
    port = machine.file("sys/devices/pnp0/00:01/00:01:0/00:01:0.0/driver_override").parent
    machine.link("sys/devices/pnp0/00:01/00:01:0/00:01:0.0/driver", "../bus/serial-base/drivers/port")
    machine.link("sys/devices/pnp0/00:01/00:01:0/driver", "../bus/serial-base/drivers/ctrl")
    machine.link("sys/devices/pnp0/00:01/driver", "../bus/pnp/drivers/serial")
    machine.file("sys/class/tty/ttyS1/type", "4\n")
    machine.link("sys/class/tty/ttyS1/device", str(port))
    assert Discovery(tmp_path).interfaces() == [
        Interface("spi", "/dev/spidev0.0", "free"),
        Interface("spi", "spi1.0", "held by the kernel driver spi-nor"),
        Interface("gpio", "/dev/gpiochip0", "fe200000.gpio"),
        Interface("1-wire", "28-0316a2795dff", "chip of family 0x28"),
        Interface("1-wire", "w1_bus_master1", "bus"),
        Interface("iio", "/sys/bus/iio/devices/iio:device0", "bme280"),
        Interface("hwmon", "/sys/class/hwmon/hwmon0", "cpu_thermal"),
        Interface("serial", "/dev/ttyAMA0", "uart-pl011"),
        Interface("serial", "/dev/ttyS1", "serial"),
    ]
