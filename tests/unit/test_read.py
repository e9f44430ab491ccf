"""`wayside-edge read`: sensors on simulated buses, read without an agent."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from wayside_edge import registry
from wayside_edge.__main__ import main
from wayside_edge.commands.read import _bus, _option
from wayside_edge.drivers.kernel import there, thermal
from wayside_edge.errors import ConfigError
from wayside_firmware.board import open_bus
from wayside_firmware.board.chips.max31855 import Max31855Chip
from wayside_shared.errors import EXIT_CONFIG
from wayside_testkit.kernel import SysTree
from wayside_testkit.sensing import Bench, State

BOARD = """
[[bus]]
name = "lab"
kind = "simulated"
{faults}
chips = [
  {{ model = "bme280", noise = 0, seed = 0 }},
  {{ model = "bme280", address = 0x77, noise = 0, seed = 0 }},
]

[[sensor]]
name = "attic"
kind = "bme280"
bus = "lab"
address = 0x77
humidity_oversampling = 0
interval_s = 0.02

[uplink]
device = "not read here"
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(BOARD.format(faults=f'faults_file = "{tmp_path / "faults"}"'))
    return file


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main(["read", *map(str, words)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_kind_on_a_bus_of_the_configuration(board: Path, read: Run) -> None:
    status, out, err = read("bme280", "--config", board, "--bus", "lab")
    assert (status, err) == (0, "")
    title, *rows, took = out.splitlines()
    assert title == "bme280 on lab: Bosch BME280: temperature, pressure and humidity"
    assert [row.split()[0] for row in rows] == ["temperature", "pressure", "humidity"]
    assert [row.split()[2:] for row in rows] == [["Cel", "good"], ["hPa", "good"], ["%", "good"]]
    assert took.startswith("read in ")


def test_a_sensor_of_the_configuration_by_its_name(board: Path, read: Run) -> None:
    status, out, _ = read("attic", "--config", board, "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["sensor"] == "attic"
    assert [reading["name"] for reading in answer["readings"]] == ["temperature", "pressure"]
    assert {reading["quality"] for reading in answer["readings"]} == {"good"}
    assert answer["took_ms"] >= 6.4  # what the data sheet gives for these settings: 1.25 + 2.3 + 2.3 + 0.575


def test_options_reach_the_driver(board: Path, read: Run) -> None:
    _, out, _ = read("attic", "--config", board, "--json", "--option", "humidity_oversampling=1", "--address", "0x76")
    assert len(json.loads(out)["readings"]) == 3


def test_a_live_table_in_lines_of_json_ends_after_its_count(board: Path, read: Run) -> None:
    status, out, _ = read("attic", "--config", board, "--watch", "--count", "3", "--json")
    assert status == 0
    assert [json.loads(line)["error"] for line in out.splitlines()] == [None] * 3


def test_a_live_table_goes_on_while_the_chip_is_away(board: Path, read: Run) -> None:
    (board.parent / "faults").write_text("0x77 absent")
    status, out, _ = read("attic", "--config", board, "--watch", "--count", "1")
    assert status == 0
    assert "absent: bus lab: no chip answers at 0x77; check its power, wiring and address" in out
    assert out.splitlines()[-1] == "read 1, longest 0.0 ms; 1 failed"


@pytest.mark.parametrize(("columns", "lines"), [("200", 4), ("40", 6)])
def test_a_terminal_shows_one_table_that_changes(board: Path, columns: str, lines: int) -> None:
    ours, theirs = os.openpty()
    words = ["read", "attic", "--config", str(board), "--watch", "--count", "3"]
    environment = {**os.environ, "COLUMNS": columns}
    with subprocess.Popen([sys.executable, "-m", "wayside_edge", *words], stdout=theirs, env=environment) as program:
        os.close(theirs)
        text = b""
        with suppress(OSError):  # EIO: what Linux says when the other end is closed
            while part := os.read(ours, 4096):
                text += part
    os.close(ours)
    assert program.returncode == 0
    assert text.count(f"\x1b[{lines}F\x1b[J".encode()) == 2
    assert b"read 3 in" in text.rpartition(b"\x1b[J")[2]


def test_a_reader_that_has_seen_enough_ends_it(board: Path) -> None:
    words = ["read", "attic", "--config", str(board), "--watch", "--interval", "0.02"]
    command = [sys.executable, "-m", "wayside_edge", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline().startswith(b"attic on lab")
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 141


def test_an_interrupt_is_the_end_of_a_live_table(board: Path) -> None:
    words = ["read", "attic", "--config", str(board), "--watch", "--interval", "0.02"]
    command = [sys.executable, "-m", "wayside_edge", *words]
    # A shell that runs the tests in the background has them ignore the interrupt, and so their children.
    mindful = ["env", "--default-signal=INT", *command]
    with subprocess.Popen(mindful, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == b""
        program.stdout.read()
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("text", "kind", "family", "options", "chip"),
    [
        ("1", "bme280", "i2c", {"number": 1}, {}),
        ("spi1", "bme280", "spi", {"number": 1}, {}),
        ("/dev/spidev1.2", "bme280", "spi", {"number": 1}, {"chip_select": 2}),
        ("2", "max31855", "spi", {"number": 2}, {}),
        ("/dev/gpiochip4", "digital_input", "gpio", {"chip": "/dev/gpiochip4"}, {}),
        ("gpio", "digital_input", "gpio", {}, {}),
        ("/dev/ttyUSB0", "pms5003", "uart", {"port": "/dev/ttyUSB0"}, {}),
        ("w1", "ds18b20", "w1", {}, {}),
    ],
)
def test_how_people_write_buses(
    text: str, kind: str, family: str, options: dict[str, object], chip: dict[str, object]
) -> None:
    found = registry.load(kind)
    assert found is not None
    bus, more = _bus(text, found, [])
    assert (bus.kind, dict(bus.options.values), dict(more)) == (family, options, chip)


@pytest.mark.parametrize("name", ["3", "i2c-3", "/dev/i2c-3"])
def test_a_bus_of_the_kernel_by_the_names_of_its_node(name: str, read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = open_bus({"chips": [{"model": "bme280"}]})
    monkeypatch.setattr("wayside_edge.hal.buses._smbus", {3: bus}.__getitem__)
    status, out, _ = read("bme280", "--bus", name, "--json")
    assert status == 0
    assert len(json.loads(out)["readings"]) == 3


def test_a_chip_select_by_the_name_of_its_node(read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(State(21.0, 101_325.0, 50.0))
    bench.signals["probe_celsius"] = 180.0
    bench.put_spi(1, Max31855Chip(bench.around))

    class Adapter:
        def __init__(self, number: int) -> None:
            assert number == 0

        def open(self, chip_select: int) -> Any:
            return bench.spi_bus.open(chip_select)

    monkeypatch.setattr("wayside_edge.hal.buses.SpidevAdapter", Adapter)
    for name in ("spidev0.1", "/dev/spidev0.1"):
        status, out, _ = read("max31855", "--bus", name, "--json")
        assert status == 0
        assert json.loads(out)["readings"][0]["value"] == pytest.approx(180.0, abs=0.5)


def test_the_machine_itself_is_on_no_bus(read: Run) -> None:
    status, out, _ = read("host", "--json")
    assert status == 0
    assert "memory_used" in {reading["name"] for reading in json.loads(out)["readings"]}


def test_what_a_read_does_not_give_is_named(board: Path, read: Run) -> None:
    said = "not in this read: humidity; turned off, not there, or a rate, which takes a second read: --watch"
    assert said in read("attic", "--config", board)[1].splitlines()
    assert "not in this read" not in read("bme280", "--config", board, "--bus", "lab")[1]


def test_a_kind_that_reads_what_the_kernel_has_lists_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Run
) -> None:
    tree = SysTree(tmp_path)
    for number, name in enumerate(("cpu-thermal", "gpu-thermal", "gpu-thermal")):
        tree.thermal(number, name, "41000")
    found = dataclasses.replace(thermal.KIND, there=lambda: there(thermal.SOURCE, tree.root))
    monkeypatch.setattr(thermal, "KIND", found)
    status, _, err = read("thermal")
    assert status == EXIT_CONFIG
    assert err.endswith("; this machine has: --option device=cpu-thermal, --option device=gpu-thermal\n")
    assert "'device' is missing" in err
    monkeypatch.setattr(thermal, "KIND", dataclasses.replace(found, there=list))
    assert "this machine has" not in read("thermal")[2]


def test_a_cell_that_is_no_number_is_shown_as_what_the_agent_makes_of_it(tmp_path: Path, read: Run) -> None:
    (tmp_path / "a.csv").write_text("date,T\n2026-01-01,warm\n")
    file = tmp_path / "edge.toml"
    column = '[[sensor.columns]]\ncolumn = "T"\nname = "t"\nunit = "Cel"\n'
    sensor = f'name = "a"\nkind = "replay"\nfile = "{tmp_path}/a.csv"\ntime_column = "date"\n'
    file.write_text(f"[[sensor]]\n{sensor}{column}")
    assert read("a", "--config", file)[1].splitlines()[1].split() == ["t", "-", "Cel", "refused:", "non_finite"]
    (reading,) = json.loads(read("a", "--config", file, "--json")[1])["readings"]
    assert (reading["value"], reading["quality"]) == (None, "refused: non_finite")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bmp82"], "there is no kind of sensor 'bmp82'; did you mean 'bmp280'?"),
        (["atic", "--config", "FILE"], "there is no sensor of the configuration or kind 'atic'; did you mean 'attic'?"),
        (["bme280"], "a bme280 is on a bus of family i2c or spi: say which with --bus BUS"),
        (["bme280", "--config", "FILE", "--bus", "lap"], "--bus: 'lap' is no bus: say the N of /dev/i2c-N"),
        (["bme280", "--config", "FILE", "--bus", "lab", "--option", "filtr=2"], "did you mean 'filter'?"),
        (["attic", "--config", "FILE", "--option", "filtr=2"], "did you mean 'filter'?"),
        (["attic", "--config", "FILE", "--option", "filter"], "--option: 'filter' is no setting: write key=value"),
        (["attic", "--config", "FILE", "--address", "0x10"], "a BME280 or BMP280 has 0x76 or 0x77"),
    ],
)
def test_mistakes(words: list[str], said: str, board: Path, read: Run) -> None:
    status, out, err = read(*(board if word == "FILE" else word for word in words))
    assert (status, out, err.count("\n")) == (EXIT_CONFIG, "", 1)
    assert said in err


def test_a_chip_that_is_not_there_is_one_sentence(board: Path, read: Run) -> None:
    (board.parent / "faults").write_text("0x77 absent")
    status, out, err = read("attic", "--config", board)
    assert (status, out) == (1, "")
    assert err == "wayside-edge: bus lab: no chip answers at 0x77; check its power, wiring and address\n"


def test_a_bus_that_is_not_there_is_one_sentence(read: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_number: int) -> Any:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("wayside_edge.hal.buses._smbus", refused)
    status, _, err = read("bme280", "--bus", "1")
    assert status == 1
    assert "permission denied: add this user to the group that owns the device (usually i2c)" in err


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("filter=16", ("filter", 16)),
        ("mode=normal", ("mode", "normal")),
        ("mode='normal'", ("mode", "normal")),
        ("id=28-0316a2791234", ("id", "28-0316a2791234")),
        ("address=0x77", ("address", 0x77)),
        ('channels=[{input=0, name="a=b"}]', ("channels", [{"input": 0, "name": "a=b"}])),
        ("on=true", ("on", True)),
    ],
)
def test_options_are_toml_or_text(text: str, setting: tuple[str, object]) -> None:
    assert _option(text) == setting


def test_an_option_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError):
        _option("=3")
