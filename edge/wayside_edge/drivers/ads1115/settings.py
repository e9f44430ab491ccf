"""Settings of an ADS1115.

Source: Texas Instruments, ADS111x data sheet, SBAS444D (January 2018): Table "Config Register Field Descriptions".
"""

from dataclasses import dataclass

from wayside_shared.settings import setting

INPUTS = ("0-1", "0-3", "1-3", "2-3", "0", "1", "2", "3")
FULL_SCALES_V = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256)
DATA_RATES_HZ = (8, 16, 32, 64, 128, 250, 475, 860)
"""In the order of their register codes: MUX[2:0], PGA[2:0] and DR[2:0]."""


@dataclass(frozen=True, slots=True)
class Ads1115Channel:
    """One input that becomes a series."""

    name: str = setting("Name of the series.", sample="pressure", pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}")
    input: str = setting("Input against ground (0 to 3), or the difference of two.", sample="0", choices=INPUTS)
    full_scale_v: float = setting("Greatest voltage either way, in V: the gain.", 4.096, choices=FULL_SCALES_V)
    scale: float = setting("What one volt at the input stands for, in the unit.", 1.0)
    offset: float = setting("What zero volts stand for, in the unit.", 0.0)
    unit: str = setting("UCUM code of the unit.", "V", pattern="[!-~]{1,32}")

    def __post_init__(self) -> None:
        if self.scale == 0.0:
            raise ValueError("scale = 0: every voltage would be the same; give the units per volt")

    @property
    def single_ended(self) -> bool:
        """Whether it is measured against ground."""
        return "-" not in self.input


@dataclass(frozen=True, slots=True)
class Ads1115Settings:
    """Settings of a sensor of kind `ads1115`."""

    address: int = setting("I2C address: 0x48 to 0x4b with ADDR at GND, VDD, SDA, SCL.", 0x48, hexadecimal=True)
    data_rate_hz: int = setting("Conversions per second: slower is less noisy.", 128, choices=DATA_RATES_HZ)
    channels: list[Ads1115Channel] = setting("The inputs to read, each a [[sensor.channels]].")

    def __post_init__(self) -> None:
        if self.address not in range(0x48, 0x4C):
            raise ValueError(f"address = 0x{self.address:02x}: an ADS1115 has 0x48 to 0x4b")
        if not self.channels:
            raise ValueError("'channels' is empty: name at least one [[sensor.channels]]")
        names = [channel.name for channel in self.channels]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two channels have the name {twice!r}")
