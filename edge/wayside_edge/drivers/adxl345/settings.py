"""Settings of an ADXL345."""

from dataclasses import dataclass

from wayside_shared.settings import setting

RANGES_G = (2, 4, 8, 16)
"""In the order of the range bits (data sheet, Rev. E, Register 0x31)."""
RATES_HZ = (6.25, 12.5, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)
LOWEST_RATE_CODE = 6
"""Of 6.25 Hz; each code above is twice as fast (Table 7)."""
FASTEST_I2C_HZ = 800.0
"""With a bus of 400 kHz (section I2C)."""
FIFO_DEPTH = 32
"""Samples (section FIFO)."""


@dataclass(frozen=True, slots=True)
class Adxl345Settings:
    """Settings of a sensor of kind `adxl345`."""

    address: int = setting("I2C address: 0x53 with SDO at ground, 0x1d with SDO at VDD.", 0x53, hexadecimal=True)
    chip_select: int = setting("Chip select on an SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)
    range_g: int = setting("Full scale, ± standard gravity.", 16, choices=RANGES_G)
    fifo_rate_hz: float = setting(
        "Samples a second that the chip collects by itself between reads; 0 takes its newest at each read.",
        0.0,
        choices=(0.0, *RATES_HZ),
    )

    def __post_init__(self) -> None:
        if self.address not in (0x53, 0x1D):
            raise ValueError(f"address = 0x{self.address:02x}: an ADXL345 has 0x53 or 0x1d")

    @property
    def overflows_after_s(self) -> float | None:
        """How long the FIFO takes to fill; None without one."""
        return FIFO_DEPTH / self.fifo_rate_hz if self.fifo_rate_hz else None
