"""Settings of an MCP23017."""

from dataclasses import dataclass

from wayside_shared.settings import setting

PINS = tuple(f"{port}{number}" for port in "AB" for number in range(8))
"""In the order of their bits in a 16-bit word, port A low."""


@dataclass(frozen=True, slots=True)
class Mcp23017Input:
    """One pin that becomes a series."""

    name: str = setting("Name of the series.", sample="door", pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,54}")
    pin: str = setting("Its pin: A0 to A7, B0 to B7.", sample="A0", choices=PINS)
    pull_up: bool = setting("Pull the pin up with the chip's 100 kΩ: for contacts to ground.", False)
    inverted: bool = setting("Give true when the pin is low.", False)
    edges: bool = setting("Give a second series, <name>_changed: whether it changed since the last read.", False)

    @property
    def bit(self) -> int:
        """Its bit in a word of both ports."""
        return 1 << PINS.index(self.pin)


@dataclass(frozen=True, slots=True)
class Mcp23017Settings:
    """Settings of a sensor of kind `mcp23017`."""

    address: int = setting("I2C address: 0x20 to 0x27, by the pins A0 to A2.", 0x20, hexadecimal=True)
    inputs: list[Mcp23017Input] = setting("The pins to read, each a [[sensor.inputs]].")

    def __post_init__(self) -> None:
        if self.address not in range(0x20, 0x28):
            raise ValueError(f"address = 0x{self.address:02x}: an MCP23017 has 0x20 to 0x27")
        if not self.inputs:
            raise ValueError("'inputs' is empty: name at least one [[sensor.inputs]]")
        names = [name for each in self.inputs for name in (each.name, *[f"{each.name}_changed"] * each.edges)]
        for what, taken in (("name", names), ("pin", [each.pin for each in self.inputs])):
            twice = next((item for item in taken if taken.count(item) > 1), None)
            if twice is not None:
                raise ValueError(f"two inputs have the {what} {twice!r}")
