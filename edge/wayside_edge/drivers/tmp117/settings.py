"""Settings of a TMP117.

Source: Texas Instruments, TMP117 data sheet, SNOSD82D (September 2022): Table "Configuration Register Field
Descriptions", section "Averaging"; Table "Electrical Characteristics" for the conversion time.
"""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

AVERAGES = (1, 8, 32, 64)
CYCLES_S = (0.0155, 0.125, 0.25, 0.5, 1.0, 4.0, 8.0, 16.0)
"""In the order of their register codes AVG and CONV."""
LONGEST_S = 0.0175
"""Longest time of one conversion."""


class Mode(Enum):
    """How the chip measures."""

    ONE_SHOT = "one_shot"
    CONTINUOUS = "continuous"


@dataclass(frozen=True, slots=True)
class Tmp117Settings:
    """Settings of a sensor of kind `tmp117`."""

    address: int = setting("I2C address: 0x48 to 0x4b with ADD0 at GND, V+, SDA, SCL.", 0x48, hexadecimal=True)
    averages: int = setting("Conversions averaged.", 8, choices=AVERAGES)
    mode: Mode = setting("one_shot: measure when read, sleep otherwise. continuous: all the time.", Mode.ONE_SHOT)
    cycle_s: float = setting("Time from one measurement to the next when continuous, in s.", 1.0, choices=CYCLES_S)

    def __post_init__(self) -> None:
        if self.address not in range(0x48, 0x4C):
            raise ValueError(f"address = 0x{self.address:02x}: a TMP117 has 0x48 to 0x4b")

    @property
    def conversion_s(self) -> float:
        """Longest time of a measurement."""
        return LONGEST_S * self.averages
