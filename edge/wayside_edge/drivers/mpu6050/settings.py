"""Settings of an MPU-6050."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

BANDWIDTHS_HZ = (184, 94, 44, 21, 10, 5)
"""Of the accelerometer with DLPF_CFG 1 to 6; the gyroscope's differ by a little. With 0 and 7 the filter is off and
the gyroscope runs at 8 kHz (register map RM-MPU-6000A-00, revision 4.2, register 26)."""
ACCELERATION_RANGES_G = (2, 4, 8, 16)
ROTATION_RANGES_DPS = (250, 500, 1000, 2000)
"""In the order of AFS_SEL and FS_SEL (registers 27 and 28)."""
RATES_HZ = (0, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000)
"""The whole-numbered rates that 1 kHz / (1 + SMPLRT_DIV) gives (register 25)."""
FIFO_BYTES = 1024
"""Product specification; the oldest are overwritten when it is full (register 116)."""


class Parts(Enum):
    """Which sensors a FIFO collects."""

    BOTH = "both"
    ACCELERATION = "acceleration"
    ROTATION = "rotation"


@dataclass(frozen=True, slots=True)
class Mpu6050Settings:
    """Settings of a sensor of kind `mpu6050`."""

    address: int = setting("I2C address: 0x68 with AD0 at ground, 0x69 with AD0 at VDD.", 0x68, hexadecimal=True)
    acceleration_range_g: int = setting(
        "Full scale of the accelerometer, ± standard gravity.", 2, choices=ACCELERATION_RANGES_G
    )
    rotation_range_dps: int = setting("Full scale of the gyroscope, ± deg/s.", 250, choices=ROTATION_RANGES_DPS)
    bandwidth_hz: int = setting("Bandwidth of the chip's low-pass filter, in Hz.", 44, choices=BANDWIDTHS_HZ)
    fifo_rate_hz: int = setting(
        "Samples a second that the chip collects by itself between reads; 0 measures once at each read.",
        0,
        choices=RATES_HZ,
    )
    fifo_parts: Parts = setting("What is collected: both, acceleration or rotation.", Parts.BOTH)

    def __post_init__(self) -> None:
        if self.address not in (0x68, 0x69):
            raise ValueError(f"address = 0x{self.address:02x}: an MPU-6050 has 0x68 or 0x69")

    @property
    def sample_bytes(self) -> int:
        """What one sample of the FIFO takes: a 16-bit number of each of its series."""
        return 12 if self.fifo_parts is Parts.BOTH else 6

    @property
    def overflows_after_s(self) -> float | None:
        """How long the FIFO takes to fill with whole samples; None without one."""
        return FIFO_BYTES // self.sample_bytes / self.fifo_rate_hz if self.fifo_rate_hz else None
