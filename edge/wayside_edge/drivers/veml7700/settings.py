"""Settings of a VEML7700, and the ranges that they choose from.

Source: Vishay, VEML7700 data sheet, document 84286: Table "Configuration Register #0", Table of the resolutions; Vishay
application note 84323 "Designing the VEML7700 Into an Application": resolution by gain and integration time, flow chart
of the automatic range, correction formula.
"""

from dataclasses import dataclass

from wayside_shared.settings import setting

GAIN_CODES = {1.0: 0b00, 2.0: 0b01, 0.125: 0b10, 0.25: 0b11}
INTEGRATION_CODES = {25: 0b1100, 50: 0b1000, 100: 0b0000, 200: 0b0001, 400: 0b0010, 800: 0b0011}
FINEST_LX = 0.0042
"""One count at gain 2 and 800 ms, the finest; earlier editions of the data sheet have 0.0036."""


@dataclass(frozen=True, slots=True)
class Range:
    """A gain and an integration time."""

    gain: float
    integration_ms: int

    @property
    def lux_per_count(self) -> float:
        """What one count stands for."""
        return FINEST_LX * (800 / self.integration_ms) * (2.0 / self.gain)

    @property
    def code(self) -> int:
        """Gain and integration time in the configuration register."""
        return GAIN_CODES[self.gain] << 11 | INTEGRATION_CODES[self.integration_ms] << 6


LADDER = (
    Range(0.125, 25),
    Range(0.125, 50),
    Range(0.125, 100),
    Range(0.25, 100),
    Range(1.0, 100),
    Range(2.0, 100),
    Range(2.0, 200),
    Range(2.0, 400),
    Range(2.0, 800),
)
"""Ranges for automatic choice, from bright to dark, as the application note's flow chart goes through them."""
FIRST_RUNG = 2


@dataclass(frozen=True, slots=True)
class Veml7700Settings:
    """Settings of a sensor of kind `veml7700`."""

    address: int = setting("I2C address: 0x10; the chip has no other.", 0x10, choices=(0x10,), hexadecimal=True)
    auto_range: bool = setting(
        "Choose gain and integration time by the light; the two settings below then count not.", True
    )
    gain: float = setting("Gain.", 0.125, choices=tuple(sorted(GAIN_CODES)))
    integration_ms: int = setting("Integration time, in ms.", 100, choices=tuple(INTEGRATION_CODES))
    correct: bool = setting("Apply the maker's formula for bright light, where the chip gives too little.", True)

    @property
    def fixed(self) -> Range:
        """The range that is set."""
        return Range(self.gain, self.integration_ms)
