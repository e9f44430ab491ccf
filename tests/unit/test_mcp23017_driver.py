"""The MCP23017 driver against the simulated chip: pins, polarity, pull-ups, edges, states and mistakes."""

import pytest

from wayside_edge.drivers.mcp23017 import Mcp23017, Mcp23017Input, Mcp23017Settings
from wayside_edge.drivers.mcp23017.settings import PINS
from wayside_edge.errors import SensorError
from wayside_edge.ports import Driver
from wayside_firmware.board.chip import Fault
from wayside_firmware.board.chips.mcp23017 import Mcp23017Chip
from wayside_shared.quality import Quality
from wayside_testkit.chips import readings, refusal, started
from wayside_testkit.sensing import Bench

ADDRESS = 0x20
DOOR = Mcp23017Input(name="door", pin="A0", edges=True)
GATE = Mcp23017Input(name="gate", pin="A1", edges=True)
MAINS = Mcp23017Input(name="mains", pin="B7", edges=True)


class Rig:
    """A bench with an MCP23017, whose inputs a driver reads."""

    def __init__(self, *inputs: Mcp23017Input) -> None:
        self.bench = Bench()
        self.chip = Mcp23017Chip(self.bench.around)
        self.chip.drive(0)
        self.bench.put(ADDRESS, self.chip)
        self.driver: Driver = Mcp23017(Mcp23017Settings(inputs=list(inputs)), "main", self.bench)
        started(self.bench, self.driver)

    def values(self) -> dict[str, object]:
        return {name: reading.value for name, reading in readings(self.bench, self.driver).items()}


@pytest.mark.parametrize("inverted", [False, True])
def test_every_pin_is_itself(inverted: bool) -> None:
    rig = Rig(*(Mcp23017Input(name=pin, pin=pin, inverted=inverted) for pin in PINS))
    for bit, pin in enumerate(PINS):
        rig.chip.drive(1 << bit)
        assert rig.values() == {other: (other == pin) is not inverted for other in PINS}


def test_the_chip_inverts_and_not_the_driver() -> None:
    rig = Rig(Mcp23017Input(name="x", pin="B1", inverted=True))
    assert rig.bench.i2c("main").write_read(ADDRESS, b"\x02", 2) == b"\x00\x02"


def test_open_pins_are_pulled_up_where_told() -> None:
    rig = Rig(Mcp23017Input(name="with", pin="A3", pull_up=True), Mcp23017Input(name="without", pin="A4"))
    rig.chip.drive(0, driven=0)
    assert rig.values() == {"with": True, "without": False}


def test_a_short_press_between_two_reads_is_told_once() -> None:
    rig = Rig(DOOR, MAINS)
    assert rig.values() == {"door": False, "door_changed": False, "mains": False, "mains_changed": False}
    rig.chip.drive(0x0001)
    rig.chip.drive(0x0000)
    assert rig.values() == {"door": False, "door_changed": True, "mains": False, "mains_changed": False}
    assert rig.values()["door_changed"] is False


def test_edges_of_both_ports_are_captured() -> None:
    rig = Rig(DOOR, MAINS)
    rig.values()
    rig.chip.drive(0x8001)
    rig.chip.drive(0x0000)
    assert rig.values() == {"door": False, "door_changed": True, "mains": False, "mains_changed": True}


def test_a_second_edge_on_a_port_that_stays_is_told_too() -> None:
    rig = Rig(DOOR, GATE)
    rig.values()
    rig.chip.drive(0x0001)
    rig.chip.drive(0x0003)
    assert rig.values() == {"door": True, "door_changed": True, "gate": True, "gate_changed": True}


def test_inputs_without_edges_have_one_series() -> None:
    rig = Rig(Mcp23017Input(name="level", pin="B0"))
    assert list(rig.values()) == ["level"]


def test_what_happened_before_the_start_is_no_edge() -> None:
    rig = Rig(DOOR)
    rig.chip.drive(1)
    started(rig.bench, rig.driver)
    assert rig.values() == {"door": True, "door_changed": False}


def test_a_chip_that_another_program_left_in_the_other_bank_is_taken_back() -> None:
    rig = Rig(DOOR)
    rig.bench.i2c("main").write(ADDRESS, b"\x0a\x80")
    started(rig.bench, rig.driver)
    rig.chip.drive(1)
    assert rig.values()["door"] is True


def test_outputs_of_another_program_become_inputs() -> None:
    rig = Rig(DOOR)
    rig.bench.i2c("main").write(ADDRESS, b"\x00\x00\x00")
    assert refusal(rig.values)[0] is Quality.POWER_LOST
    started(rig.bench, rig.driver)
    assert rig.bench.i2c("main").write_read(ADDRESS, b"\x00", 2) == b"\xff\xff"


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it() -> None:
    rig = Rig(Mcp23017Input(name="level", pin="B0"))  # nothing set but the mark
    rig.chip.power_cycle()
    quality, message = refusal(rig.values)
    assert quality is Quality.POWER_LOST
    assert "lost its settings" in message
    started(rig.bench, rig.driver)
    assert rig.values() == {"level": False}


def test_another_chip_is_refused() -> None:
    rig = Rig(DOOR)
    rig.bench.bus.set_fault(ADDRESS, Fault.WRONG_IDENTITY)
    quality, message = refusal(lambda: started(rig.bench, rig.driver))
    assert quality is Quality.WRONG_CHIP
    assert "bus main, address 0x20: the chip is no MCP23017: keeps ffff" in message


def test_noise_on_the_wires_is_noticed_at_the_start() -> None:
    rig = Rig(DOOR)
    rig.bench.bus.set_fault(ADDRESS, Fault.CORRUPT)
    with pytest.raises(SensorError):
        started(rig.bench, rig.driver)


def test_the_simulated_pins_count_seconds() -> None:
    bench = Bench()
    bench.put(ADDRESS, Mcp23017Chip(bench.around))
    bus = bench.i2c("main")
    before = int.from_bytes(bus.write_read(ADDRESS, b"\x12", 2), "little")
    bench.clock.sleep(3.0)
    assert (int.from_bytes(bus.write_read(ADDRESS, b"\x12", 2), "little") - before) % 0x10000 == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": [DOOR], "address": 0x28}, "0x28"),
        ({"inputs": []}, "at least one"),
        ({"inputs": [DOOR, DOOR]}, "two inputs have the name 'door'"),
        ({"inputs": [DOOR, Mcp23017Input(name="door_changed", pin="A1")]}, "two inputs have the name 'door_changed'"),
        ({"inputs": [DOOR, Mcp23017Input(name="other", pin="A0")]}, "two inputs have the pin 'A0'"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mcp23017Settings(**options)  # type: ignore[arg-type]
