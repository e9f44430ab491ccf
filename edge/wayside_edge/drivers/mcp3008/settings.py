"""Settings of an MCP3008."""

from collections import Counter
from dataclasses import dataclass

from wayside_shared.settings import setting

INPUTS = ("0-1", "1-0", "2-3", "3-2", "4-5", "5-4", "6-7", "7-6", "0", "1", "2", "3", "4", "5", "6", "7")
"""In the order of SGL/DIFF, D2, D1 and D0 (DS21295, Table 5-2)."""


@dataclass(frozen=True, slots=True)
class Mcp3008Channel:
    """One input that becomes a series."""

    name: str = setting("Name of the series.", sample="pressure", pattern=r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}")
    input: str = setting("Input against ground (0 to 7), or one less its neighbour.", sample="0", choices=INPUTS)
    scale: float = setting("What one volt at the input stands for, in the unit.", 1.0)
    offset: float = setting("What zero volts stand for, in the unit.", 0.0)
    unit: str = setting("UCUM code of the unit.", "V", pattern="[!-~]{1,32}")

    def __post_init__(self) -> None:
        if self.scale == 0.0:
            raise ValueError("scale = 0: every voltage would be the same; give the units per volt")


@dataclass(frozen=True, slots=True)
class Mcp3008Settings:
    """Settings of a sensor of kind `mcp3008`."""

    chip_select: int = setting("Chip select on the SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)
    reference_v: float = setting("Voltage at VREF, in V.", 3.3, minimum=0.25, maximum=5.5)
    channels: list[Mcp3008Channel] = setting("The inputs to measure, each a [[sensor.channels]].")
    zero_is_valid: bool = setting(
        "Whether all eight inputs may be at 0 V at once; else that is taken for a missing chip.", False
    )

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("'channels' is empty: name at least one [[sensor.channels]]")
        name, times = Counter(channel.name for channel in self.channels).most_common(1)[0]
        if times > 1:
            raise ValueError(f"two channels have the name {name!r}; give each its own")
