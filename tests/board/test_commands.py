"""`wayside-edge scan`, `read` and `doctor` on a real kernel."""

import json
from pathlib import Path

import pytest

from board.agent import PROGRAM
from board.machine import Board, Chips, Wanted, running
from board.uml import Uml

pytestmark = pytest.mark.board
CHIPS = Chips(
    i2c=[
        {"model": "bme280"},
        {"model": "bmp280", "address": 0x77},
        {"model": "ina219"},
        {"model": "tmp117"},
        {"model": "bh1750", "address": 0x5C},
    ]
)


async def typed(board: Board, *words: str | Path) -> tuple[int, str, str]:
    status, out, complaint = await board.call("commands:typed", 90.0, words=[PROGRAM, *map(str, words)])
    return int(status), str(out), str(complaint)


async def test_a_scan_names_what_is_on_the_kernels_bus_and_leaves_its_drivers_alone(wanted: Wanted) -> None:
    async with running(Uml(), wanted, CHIPS) as board:
        await board.call("system:write", path="/sys/bus/i2c/devices/i2c-0/new_device", text="bme280 0x76")
        status, out, complaint = await typed(board, "scan", "--json")
        assert (status, complaint) == (0, "")
        found = json.loads(out)
        (bus,) = found["i2c"]
        chips = {chip["address"]: chip for chip in bus["chips"]}
        assert {address: chip["kinds"] for address, chip in chips.items()} == {
            0x40: ["ina219"],
            0x48: ["tmp117"],
            0x5C: [],
            0x76: [],
            0x77: ["bmp280"],
        }
        assert "bmp280" in chips[0x76]["held_by"]
        assert "bh1750" in chips[0x5C]["possible"]
        assert {interface["place"] for interface in found["interfaces"]} >= {"/dev/spidev0.0", "/dev/gpiochip0"}


async def test_the_tables_of_a_scan_are_read(wanted: Wanted) -> None:
    async with running(Uml(), wanted, CHIPS) as board:
        status, tables, complaint = await typed(board, "scan", "--toml")
        assert (status, complaint) == (0, "")
        await board.call("system:write", path="/run/edge.toml", text=tables)
        assert '# kind = "bh1750"' in tables, "where EEPROMs live no chip is asked"
        for sensor in ("bme280", "bmp280", "ina219", "tmp117"):
            status, out, complaint = await typed(board, "read", sensor, "--config", "/run/edge.toml", "--json")
            assert (status, complaint) == (0, "")
            assert {reading["quality"] for reading in json.loads(out)["readings"]} == {"good"}
        status, _, complaint = await typed(board, "read", "bme280", "--bus", "7")
        assert status == 1
        assert "bus i2c-7: no such bus: enable I2C" in complaint


async def test_the_doctor_sees_the_boards_buses(board: Board) -> None:
    status, out, complaint = await typed(board, "doctor", "--config", "/run/none.toml", "--json")
    assert (status, complaint) == (1, "")
    levels = {(finding["area"], finding["level"]) for finding in json.loads(out)["findings"]}
    assert {("configuration", "problem"), ("i2c", "ok"), ("spi", "ok"), ("user", "warning")} <= levels
