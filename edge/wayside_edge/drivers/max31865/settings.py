"""Settings of a MAX31865."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting


class Element(Enum):
    """The platinum element."""

    PT100 = "pt100"
    PT1000 = "pt1000"

    @property
    def ohm(self) -> float:
        """Its resistance at 0 °C."""
        return 100.0 if self is Element.PT100 else 1000.0


@dataclass(frozen=True, slots=True)
class Max31865Settings:
    """Settings of a sensor of kind `max31865`."""

    chip_select: int = setting("Chip select on the SPI bus: Y of /dev/spidevX.Y.", 0, minimum=0, maximum=255)
    element: Element = setting("pt100 or pt1000.", Element.PT100)
    wires: int = setting("Wires to the element.", 2, choices=(2, 3, 4))
    reference_ohm: float | None = setting(
        "Resistor between REFIN+ and REFIN-, in Ohm; none is 430 for a pt100 and 4300 for a pt1000.",
        None,
        minimum=100.0,
        maximum=100_000.0,
    )
    lead_ohm: float = setting(
        "Resistance of both wires together, in Ohm, subtracted with two wires.", 0.0, minimum=0.0, maximum=100.0
    )
    mains_hz: int = setting("Frequency of the mains, whose hum the chip filters out, in Hz.", 50, choices=(50, 60))

    def __post_init__(self) -> None:
        if self.lead_ohm and self.wires != 2:
            raise ValueError(f"lead_ohm: with {self.wires} wires the chip takes care of the leads; remove it")

    @property
    def full_scale_ohm(self) -> float:
        """The reference resistor."""
        return self.reference_ohm if self.reference_ohm is not None else 4.3 * self.element.ohm
