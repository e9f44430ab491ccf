"""Settings of a TMP102."""

from dataclasses import dataclass

from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class Tmp102Settings:
    """Settings of a sensor of kind `tmp102`."""

    address: int = setting("I2C address: 0x48 to 0x4b with ADD0 at GND, V+, SDA, SCL.", 0x48, hexadecimal=True)
    extended: bool = setting("Measure above 128 °C, too: 13 bits instead of 12.", False)

    def __post_init__(self) -> None:
        if self.address not in range(0x48, 0x4C):
            raise ValueError(f"address = 0x{self.address:02x}: a TMP102 has 0x48 to 0x4b")
