"""For every driver on a bus: what the virtual board is given to run it."""

import tomllib
from dataclasses import dataclass
from typing import Any

from wayside_edge import registry
from wayside_firmware.board.chip import SIGNALS
from wayside_shared.settings import to_sample

SIMULATED = {"i2c": "simulated", "spi": "simulated-spi"}
"""The simulated kind of each family of the kernel's."""


@dataclass(frozen=True, slots=True)
class Case:
    """A driver on one family of bus.

    Args:
        kind: the driver, and the model of its chip.
        family: `i2c` or `spi`.
    """

    kind: str
    family: str

    @property
    def chip(self) -> dict[str, Any]:
        """The chip's settings: still air and steady signals, no noise, so that two reads give the same."""
        return {
            "model": self.kind,
            "noise": 0.0,
            "seed": 0,
            "signals": {name: swing.mean for name, swing in SIGNALS.items()},
        }

    @property
    def sensor(self) -> dict[str, Any]:
        """Its kind, and the settings that the reference page shows: defaults, and samples of what has none."""
        driver = registry.load(self.kind)
        assert driver is not None
        return {"kind": self.kind, **tomllib.loads(to_sample(driver.settings))}


def cases() -> list[Case]:
    """One for each driver of a chip that is simulated, and each family of bus that it can be on."""
    found: list[Case] = []
    for kind in registry.DRIVERS:
        driver = registry.load(kind)
        assert driver is not None
        found.extend(Case(kind, family) for family in driver.families if family in SIMULATED)
    return found
