"""Every shipped driver that is on a bus runs on the real kernel, and reads there what it reads on the simulated bus."""

from pathlib import Path

import pytest

from board.drivers import ELSEWHERE, NOT_HERE, SIMULATED, Case, cases, families
from board.guest.sensing import measure
from board.line import GuestError
from board.machine import Chips, Wanted, running
from board.uml import Uml
from wayside_edge import registry
from wayside_firmware.board import chips

CASES = [pytest.param(case, id=f"{case.kind}-{case.family}") for case in cases()]
KERNEL = {"i2c": {"kind": "i2c", "number": 0}, "spi": {"kind": "spi", "number": 0}}


def test_no_driver_is_left_out() -> None:
    apart = {kind for kind in registry.DRIVERS if not families(kind) or not set(families(kind)) <= SIMULATED.keys()}
    assert apart == ELSEWHERE.keys() | NOT_HERE.keys(), "give each a test on the board, and name it in board/drivers.py"
    for kind, file in ELSEWHERE.items():
        assert f'"{kind}"' in (Path(__file__).parent / file).read_text()


@pytest.mark.board
@pytest.mark.parametrize("case", CASES)
async def test_the_kernel_gives_the_driver_what_the_simulated_bus_gives(case: Case, wanted: Wanted) -> None:
    here = measure({"kind": SIMULATED[case.family], "chips": [case.chip]}, case.sensor)
    on_board = Chips(i2c=[case.chip]) if case.family == "i2c" else Chips(spi=[case.chip])
    async with running(Uml(), wanted, on_board) as board:
        there = await board.call("sensing:measure", bus=KERNEL[case.family], sensor=case.sensor)
        if case.family == "i2c":
            await board.call("chips:set_fault", address=chips.load(case.kind).address, fault="absent")
        else:
            await board.call("chips:set_spi_fault", chip_select=0, fault="absent")
        with pytest.raises(GuestError) as failure:
            await board.call("sensing:measure", bus=KERNEL[case.family], sensor=case.sensor)
    assert there.keys() == here.keys()
    for name, (value, unit, quality) in here.items():
        assert there[name][1:] == [unit, quality]
        if isinstance(value, bool):  # the pins of a simulated expander count seconds
            assert isinstance(there[name][0], bool)
        else:
            assert there[name][0] == (value if value is None else pytest.approx(value, rel=0.02, abs=0.02))
    assert failure.value.kind in {"DeviceAbsentError", "SensorError"}
