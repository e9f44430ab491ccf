"""Settings of an INA219.

Source: Texas Instruments, INA219 data sheet, SBOS448G (December 2015): sections "Configuration Register", "Calibration
Register" and "Programming the Calibration Register" (equation 1).
"""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

BUS_RANGES_V = (16, 32)
SHUNT_RANGES_MV = (40, 80, 160, 320)
RESOLUTION_BITS = (9, 10, 11, 12)
SAMPLES = (1, 2, 4, 8, 16, 32, 64, 128)
"""In the order of their register codes BRNG, PG, and of the low bits of BADC and SADC."""
CALIBRATION_SCALE = 0.04096
"""Equation 1: calibration = 0.04096 / (current LSB × shunt)."""


class Mode(Enum):
    """How the chip measures."""

    TRIGGERED = "triggered"
    CONTINUOUS = "continuous"


@dataclass(frozen=True, slots=True)
class Ina219Settings:
    """Settings of a sensor of kind `ina219`."""

    address: int = setting("I2C address, 0x40 to 0x4f, by the pins A0 and A1.", 0x40, hexadecimal=True)
    shunt_ohm: float = setting("Resistance of the shunt, in Ω.", 0.1, minimum=1e-6, maximum=1000.0)
    max_current_a: float = setting("Greatest current to measure, in A: it sets the step.", 3.2, minimum=1e-6)
    bus_range_v: int = setting("Greatest voltage of the bus, in V.", 32, choices=BUS_RANGES_V)
    shunt_range_mv: int = setting("Greatest voltage across the shunt, in mV.", 320, choices=SHUNT_RANGES_MV)
    resolution_bits: int = setting("Bits of a single conversion; averages have 12.", 12, choices=RESOLUTION_BITS)
    samples: int = setting("Conversions averaged.", 1, choices=SAMPLES)
    mode: Mode = setting(
        "triggered: measure when read, sleep otherwise. continuous: measure all the time.", Mode.TRIGGERED
    )

    def __post_init__(self) -> None:
        if self.address not in range(0x40, 0x50):
            raise ValueError(f"address = 0x{self.address:02x}: an INA219 has 0x40 to 0x4f")
        if self.samples > 1 and self.resolution_bits != 12:
            raise ValueError(f"resolution_bits = {self.resolution_bits}: averages have 12 bits; leave it out")
        if self.max_current_a * self.shunt_ohm > 0.3277:  # 15 bits of 10 µV: for steps of 0.1 mA with 0.1 Ω
            most_a = 0.32 / self.shunt_ohm
            raise ValueError(f"max_current_a = {self.max_current_a}: this shunt allows {most_a:g} A at 320 mV")
        if not 2 <= self.calibration <= 0xFFFE:
            raise ValueError(f"max_current_a = {self.max_current_a}: does not fit a shunt of {self.shunt_ohm} Ω")

    @property
    def calibration(self) -> int:
        """Content of the calibration register, whose lowest bit is always 0."""
        return int(CALIBRATION_SCALE / (self.max_current_a / 32768 * self.shunt_ohm)) & ~1

    @property
    def current_step_a(self) -> float:
        """What one step of the current register stands for, with the calibration as rounded."""
        return CALIBRATION_SCALE / (self.calibration * self.shunt_ohm)

    @property
    def adc_code(self) -> int:
        """Code of BADC and SADC."""
        if self.samples > 1:
            return 8 | SAMPLES.index(self.samples)
        return RESOLUTION_BITS.index(self.resolution_bits)

    @property
    def conversion_s(self) -> float:
        """Longest time that shunt and bus take together (Table "Electrical Characteristics", ADC conversion time)."""
        single_us = (93, 163, 304, 586)[RESOLUTION_BITS.index(self.resolution_bits)]
        return 2 * single_us * self.samples / 1e6
