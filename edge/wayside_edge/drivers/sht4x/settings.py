"""Settings of an SHT4x."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

ADDRESSES = (0x44, 0x45, 0x46)
MOST_HEATING = 0.1
"""Share of the time that the heater may be on (SHT4x data sheet, section "Heater Operation")."""


class Precision(Enum):
    """How long the chip averages: noise for time."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Heater(Enum):
    """Power of the heater, at 3.3 V about 200, 110 and 20 mW."""

    OFF = "off"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Sht4xSettings:
    """Settings of a sensor of kind `sht4x`."""

    address: int = setting(
        "I2C address: 0x44 for parts named -A, 0x45 for -B, 0x46 for -C.", 0x44, choices=ADDRESSES, hexadecimal=True
    )
    precision: Precision = setting("Averaging: high takes 8.3 ms, medium 4.5 ms, low 1.6 ms.", Precision.HIGH)
    heater: Heater = setting(
        "Power of heater pulses that drive off condensation; up to 75 mA flow meanwhile.", Heater.OFF
    )
    heater_pulse_s: float = setting("Length of a heater pulse, in seconds.", 0.1, choices=(0.1, 1.0))
    heater_interval_s: float = setting(
        "Time between heater pulses, in seconds: ten times their length at least.",
        3600.0,
        minimum=1.0,
        maximum=864_000.0,
    )
    heater_recovery_s: float = setting(
        "How long after a pulse the values are marked as unstable, in seconds.", 60.0, minimum=0.0, maximum=3600.0
    )

    def __post_init__(self) -> None:
        if self.heater is not Heater.OFF and self.heater_pulse_s > MOST_HEATING * self.heater_interval_s:
            raise ValueError(
                f"heater_interval_s = {self.heater_interval_s:g}: the chip may heat a tenth of the time; "
                f"pulses of {self.heater_pulse_s:g} s need {self.heater_pulse_s / MOST_HEATING:g} s"
            )
