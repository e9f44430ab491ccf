"""Settings of an SHT3x."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

ADDRESSES = (0x44, 0x45)
RATES_HZ = (0.5, 1.0, 2.0, 4.0, 10.0)
"""Data sheet SHT3x-DIS, version 5, Table 10."""


class Repeatability(Enum):
    """How long the chip averages: noise for time (Table 9)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Mode(Enum):
    """When the chip measures (sections 4.3 and 4.5)."""

    SINGLE = "single"
    PERIODIC = "periodic"


@dataclass(frozen=True, slots=True)
class Sht3xSettings:
    """Settings of a sensor of kind `sht3x`."""

    address: int = setting(
        "I2C address: 0x44 with ADDR low, 0x45 with ADDR high.", 0x44, choices=ADDRESSES, hexadecimal=True
    )
    repeatability: Repeatability = setting(
        "Averaging: high takes 15.5 ms, medium 6.5 ms, low 4.5 ms.", Repeatability.HIGH
    )
    mode: Mode = setting("single: measure when read. periodic: measure all the time, for fast reads.", Mode.SINGLE)
    rate_hz: float = setting(
        "Measurements a second in periodic mode; at 10 the chip warms itself.", 1.0, choices=RATES_HZ
    )
    heater: bool = setting(
        "Have the heater on all the time, to see whether the chip is alive; values are marked as unstable.", False
    )
