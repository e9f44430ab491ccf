"""Settings of a BME280, and of its sister without humidity, the BMP280."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

OVERSAMPLING = (0, 1, 2, 4, 8, 16)
FILTERS = (0, 2, 4, 8, 16)
STANDBY_MS = (0.5, 62.5, 125.0, 250.0, 500.0, 1000.0, 10.0, 20.0)
"""In the order of their register codes (data sheet BST-BME280-DS002-15, sections 5.4.3 to 5.4.6, Tables 20 to 28)."""
BMP280_STANDBY_MS = (0.5, 62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)
"""The same of a BMP280 (data sheet BST-BMP280-DS001-23, section 3.6.3): the last two codes differ."""


class Mode(Enum):
    """How the chip measures (data sheet, section 3.3)."""

    FORCED = "forced"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class PressureSettings:
    """What the two chips have in common."""

    address: int = setting("I2C address: 0x76 with SDO at ground, 0x77 with SDO at VDDIO.", 0x76, hexadecimal=True)
    chip_select: int = setting("Chip select on an SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)
    mode: Mode = setting(
        "forced: measure when read, sleep otherwise. normal: measure all the time, for fast reads and the filter.",
        Mode.FORCED,
    )
    temperature_oversampling: int = setting(
        "Conversions averaged; the two others need it, so 0 leaves nothing.", 1, choices=OVERSAMPLING[1:]
    )
    pressure_oversampling: int = setting("Conversions averaged; 0 leaves pressure out.", 1, choices=OVERSAMPLING)
    filter: int = setting(
        "Coefficient of the chip's IIR filter for temperature and pressure; 0 is off.", 0, choices=FILTERS
    )

    def __post_init__(self) -> None:
        if self.address not in (0x76, 0x77):
            raise ValueError(f"address = 0x{self.address:02x}: a BME280 or BMP280 has 0x76 or 0x77")


@dataclass(frozen=True, slots=True)
class Bme280Settings(PressureSettings):
    """Settings of a sensor of kind `bme280`."""

    humidity_oversampling: int = setting("Conversions averaged; 0 leaves humidity out.", 1, choices=OVERSAMPLING)
    standby_ms: float = setting("Pause between measurements in normal mode, in ms.", 125.0, choices=STANDBY_MS)

    @property
    def standby_code(self) -> int:
        """Bits 7 to 5 of the register `config`."""
        return STANDBY_MS.index(self.standby_ms)


@dataclass(frozen=True, slots=True)
class Bmp280Settings(PressureSettings):
    """Settings of a sensor of kind `bmp280`."""

    standby_ms: float = setting("Pause between measurements in normal mode, in ms.", 125.0, choices=BMP280_STANDBY_MS)

    @property
    def humidity_oversampling(self) -> int:
        """None: it has no humidity."""
        return 0

    @property
    def standby_code(self) -> int:
        """Bits 7 to 5 of the register `config`."""
        return BMP280_STANDBY_MS.index(self.standby_ms)


def measurement_ms(settings: Bme280Settings | Bmp280Settings) -> float:
    """Longest time that one measurement takes (BST-BME280-DS002-15, section 9.1; BST-BMP280-DS001-23, 3.8.1)."""
    extra = sum(0.575 + 2.3 * n for n in (settings.pressure_oversampling, settings.humidity_oversampling) if n)
    return 1.25 + 2.3 * settings.temperature_oversampling + extra
