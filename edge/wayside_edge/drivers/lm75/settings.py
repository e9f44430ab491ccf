"""Settings of an LM75."""

from dataclasses import dataclass

from wayside_shared.settings import setting

ADDRESSES = (*range(0x48, 0x50), *range(0x28, 0x30), *range(0x35, 0x38), *range(0x70, 0x78))
"""An LM75's eight, then the others that a PCT2075 can have (NXP, PCT2075 data sheet, Table "Address table")."""


@dataclass(frozen=True, slots=True)
class Lm75Settings:
    """Settings of a sensor of kind `lm75`."""

    address: int = setting(
        "I2C address: 0x48 to 0x4f by the pins A0 to A2; a PCT2075 has others, too.", 0x48, hexadecimal=True
    )
    bits: int = setting(
        "Bits that it measures: 9 LM75; 11 LM75A, LM75B, PCT2075; 12 TMP75, DS75.", 9, choices=(9, 11, 12)
    )

    def __post_init__(self) -> None:
        if self.address not in ADDRESSES:
            raise ValueError(f"address = 0x{self.address:02x}: an LM75 has 0x48 to 0x4f")

    @property
    def step_c(self) -> float:
        """What one step stands for: the point is after the eighth bit."""
        return 2.0 ** (8 - self.bits)
