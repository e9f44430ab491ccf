"""Settings of a BH1750.

Source: ROHM, BH1750FVI Technical Note, No. 11046EDT01, Rev. D (November 2011): "Instruction Set Architecture",
"Measurement Mode Explanation", "Adjust measurement result for influence of optical window".
"""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

USUAL_TIME = 69
"""Content of the measurement time register after power-on, for which times and sensitivity are given."""


class Resolution(Enum):
    """The three measurement modes."""

    LOW = "low"
    HIGH = "high"
    HIGH2 = "high2"


@dataclass(frozen=True, slots=True)
class Bh1750Settings:
    """Settings of a sensor of kind `bh1750`."""

    address: int = setting("I2C address: 0x23 with ADDR low, 0x5c with ADDR high.", 0x23, hexadecimal=True)
    resolution: Resolution = setting(
        "low: 4 lx in 16 ms. high: 1 lx in 120 ms. high2: 0.5 lx in 120 ms.", Resolution.HIGH
    )
    measurement_time: int = setting(
        "Measurement time register: sensitivity and time grow with it.", USUAL_TIME, minimum=31, maximum=254
    )
    continuous: bool = setting("Measure all the time, not only when read.", False)

    def __post_init__(self) -> None:
        if self.address not in (0x23, 0x5C):
            raise ValueError(f"address = 0x{self.address:02x}: a BH1750 has 0x23 or 0x5c")

    @property
    def measurement_s(self) -> float:
        """Longest time of a measurement: 180 ms, in low resolution 24 ms ("Electrical Characteristics")."""
        longest_s = 0.024 if self.resolution is Resolution.LOW else 0.180
        return longest_s * self.measurement_time / USUAL_TIME

    @property
    def lux_per_count(self) -> float:
        """What one count stands for: 1/1.2 lx at the usual time, half of it in high resolution 2."""
        halves = 2.0 if self.resolution is Resolution.HIGH2 else 1.0
        return USUAL_TIME / self.measurement_time / 1.2 / halves
