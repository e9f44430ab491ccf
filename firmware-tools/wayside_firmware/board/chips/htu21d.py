"""An HTU21D: a Si7021 with other times, user register and identity.

Source: TE Connectivity (MEAS), HTU21D(F) data sheet: tables of characteristics (typical times), "User register".
"""

from collections.abc import Mapping
from typing import ClassVar

from wayside_firmware.board.chip import Model
from wayside_firmware.board.chips.si7021 import HUMIDITY, TEMPERATURE, Si7021Chip


class Htu21dChip(Si7021Chip):
    """An HTU21D in some air."""

    times: ClassVar[Mapping[int, float]] = {TEMPERATURE: 0.044, HUMIDITY: 0.014}
    user = 0x02
    identity = b"\x32\x00"
    other_identity = b"\x15\xff"


MODEL = Model(Htu21dChip, address=0x40)
