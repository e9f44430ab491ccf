"""Commands and frames of the PMS5003 as its manual writes them. Append-only."""

import pytest

from wayside_edge.drivers.pms5003 import Mode, Pms5003, Pms5003Settings
from wayside_edge.hal.uart import SerialUart
from wayside_firmware.board.chips.pms5003 import Pms5003Chip, frame
from wayside_firmware.board.serial import SimulatedSerial
from wayside_testkit.sensing import Bench

WAKE, SLEEP = "424de400010174", "424de400000173"
ACTIVE, PASSIVE, READ = "424de100010171", "424de100000170", "424de200000171"
"""PMS5003 series data manual, version 2.3, Appendix II: 42 4D, command, data, and the sum of those five."""

FRAME = bytes.fromhex(
    "424d001c"  # start, 28 bytes follow
    "000a000f0012"  # for standard particles
    "000b00100013"  # in the air as it is
    "07d0025800780014000a0003"  # numbers in 0.1 l
    "9700"  # reserved
    "0365"  # the sum of the 30 bytes before
)
VALUES = {
    "pm1_0": 11,
    "pm2_5": 16,
    "pm10": 19,
    "pm1_0_standard": 10,
    "pm2_5_standard": 15,
    "pm10_standard": 18,
    "particles_0_3um": 2000,
    "particles_0_5um": 600,
    "particles_1_0um": 120,
    "particles_2_5um": 20,
    "particles_5_0um": 10,
    "particles_10um": 3,
}


class Recorded(Pms5003Chip):
    """A sensor that sends one frame for ever."""

    def _measurement(self) -> bytes:
        return FRAME


def conversation(mode: Mode, sleep: bool) -> tuple[dict[str, object], str]:
    bench = Bench()
    line = SimulatedSerial(Recorded(bench.around))
    bench.tty = SerialUart("tty", lambda: line)
    settings = Pms5003Settings(mode=mode, sleep=sleep, standard=True, counts=True)
    driver = Pms5003(settings, "tty", bench, bench.clock)
    bench.finish(driver.start())
    found = {reading.name: reading.value for reading in bench.finish(driver.read())}
    return found, line.sent.hex()


def test_the_frame_adds_up() -> None:
    assert frame(*(int.from_bytes(FRAME[at : at + 2], "big") for at in range(4, 30, 2))) == FRAME


@pytest.mark.parametrize(
    ("mode", "sleep", "sent"),
    [
        (Mode.ACTIVE, False, WAKE + ACTIVE),
        (Mode.PASSIVE, False, WAKE + PASSIVE + READ + READ),
        (Mode.PASSIVE, True, WAKE + PASSIVE + READ + SLEEP + WAKE + READ + SLEEP),
    ],
)
def test_a_conversation(mode: Mode, sleep: bool, sent: str) -> None:
    found, said = conversation(mode, sleep)
    assert found == VALUES
    assert said == sent
