"""Settings of an MCP9808."""

from dataclasses import dataclass

from wayside_shared.settings import setting

RESOLUTIONS_C = (0.5, 0.25, 0.125, 0.0625)
"""In the order of their register codes (Microchip, MCP9808 data sheet, DS25095A, section "Resolution Register")."""


@dataclass(frozen=True, slots=True)
class Mcp9808Settings:
    """Settings of a sensor of kind `mcp9808`."""

    address: int = setting("I2C address: 0x18 to 0x1f, by the pins A0 to A2.", 0x18, hexadecimal=True)
    resolution_c: float = setting("Step in °C: finer takes longer, up to 0.25 s.", 0.0625, choices=RESOLUTIONS_C)

    def __post_init__(self) -> None:
        if self.address not in range(0x18, 0x20):
            raise ValueError(f"address = 0x{self.address:02x}: an MCP9808 has 0x18 to 0x1f")

    @property
    def conversion_s(self) -> float:
        """Longest time of a measurement: the data sheet has typical ones alone, so half as much again."""
        return 1.5 * (0.030, 0.065, 0.130, 0.250)[RESOLUTIONS_C.index(self.resolution_c)]
