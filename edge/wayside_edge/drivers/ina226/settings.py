"""Settings of an INA226.

Source: Texas Instruments, INA226 data sheet, SBOS547B (September 2024): sections "Configuration Register (00h)",
"Mask/Enable Register (06h)", "Programming" (equation 1); Table "Electrical Characteristics" for conversion times.
"""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

AVERAGES = (1, 4, 16, 64, 128, 256, 512, 1024)
CONVERSION_US = (140, 204, 332, 588, 1100, 2116, 4156, 8244)
LONGEST_US = (154, 224, 365, 646, 1210, 2328, 4572, 9068)
"""In the order of their register codes AVG, VBUSCT and VSHCT; the longest times of the same codes."""
CALIBRATION_SCALE = 0.00512
"""Equation 1: calibration = 0.00512 / (current LSB × shunt)."""
SHUNT_STEP_V, BUS_STEP_V, POWER_STEPS = 2.5e-6, 1.25e-3, 25


class Mode(Enum):
    """How the chip measures."""

    TRIGGERED = "triggered"
    CONTINUOUS = "continuous"


class Alert(Enum):
    """What the alert watches."""

    NONE = "none"
    CURRENT_OVER = "current_over"
    CURRENT_UNDER = "current_under"
    BUS_OVER = "bus_over"
    BUS_UNDER = "bus_under"
    POWER_OVER = "power_over"


@dataclass(frozen=True, slots=True)
class Ina226Settings:
    """Settings of a sensor of kind `ina226`."""

    address: int = setting("I2C address, 0x40 to 0x4f, by the pins A0 and A1.", 0x40, hexadecimal=True)
    shunt_ohm: float = setting("Resistance of the shunt, in Ω.", 0.1, minimum=1e-6, maximum=1000.0)
    max_current_a: float = setting("Greatest current to measure, in A: it sets the step.", 0.8192, minimum=1e-6)
    averages: int = setting("Conversions averaged.", 16, choices=AVERAGES)
    conversion_us: int = setting("Time of one conversion, in µs.", 1100, choices=CONVERSION_US)
    mode: Mode = setting(
        "triggered: measure when read, sleep otherwise. continuous: measure all the time.", Mode.TRIGGERED
    )
    alert: Alert = setting("What the alert watches in each measurement, for the pin and a series.", Alert.NONE)
    alert_limit: float = setting("Where the alert begins: A, V or W.", 0.0)

    def __post_init__(self) -> None:
        if self.address not in range(0x40, 0x50):
            raise ValueError(f"address = 0x{self.address:02x}: an INA226 has 0x40 to 0x4f")
        if self.max_current_a * self.shunt_ohm > 0.08193:  # 15 bits of 2.5 µV are 81.92 mV
            most_a = 0.08192 / self.shunt_ohm
            raise ValueError(f"max_current_a = {self.max_current_a}: this shunt allows {most_a:g} A at 81.92 mV")
        if not 1 <= self.calibration <= 0x7FFF:
            raise ValueError(f"max_current_a = {self.max_current_a}: does not fit a shunt of {self.shunt_ohm} Ω")
        least, most = (-0x8000, 0x7FFF) if self.alert in (Alert.CURRENT_OVER, Alert.CURRENT_UNDER) else (0, 0xFFFF)
        if self.alert is not Alert.NONE and not least <= self.alert_steps <= most:
            raise ValueError(f"alert_limit = {self.alert_limit}: outside of what the chip measures with this shunt")

    @property
    def calibration(self) -> int:
        """Content of the calibration register."""
        return int(CALIBRATION_SCALE / (self.max_current_a / 32768 * self.shunt_ohm))

    @property
    def current_step_a(self) -> float:
        """What one step of the current register stands for, with the calibration as rounded."""
        return CALIBRATION_SCALE / (self.calibration * self.shunt_ohm)

    @property
    def alert_steps(self) -> int:
        """The limit in steps of the register that it is compared with: the shunt's voltage stands for the current."""
        if self.alert in (Alert.CURRENT_OVER, Alert.CURRENT_UNDER):
            return round(self.alert_limit * self.shunt_ohm / SHUNT_STEP_V)
        if self.alert is Alert.POWER_OVER:
            return round(self.alert_limit / (POWER_STEPS * self.current_step_a))
        return round(self.alert_limit / BUS_STEP_V)

    @property
    def conversion_s(self) -> float:
        """Longest time that shunt and bus take together."""
        return 2 * LONGEST_US[CONVERSION_US.index(self.conversion_us)] * self.averages / 1e6
