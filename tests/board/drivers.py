"""For every driver on a bus: what the virtual board is given to run it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wayside_edge import registry
from wayside_firmware.board.chip import SIGNALS
from wayside_shared.settings import to_sample

SIMULATED = {"i2c": "simulated", "spi": "simulated-spi"}
"""The simulated kind of each family of the kernel's."""

ELSEWHERE: Mapping[str, str] = {
    "digital_input": "test_gpio.py",
    "digital_output": "test_gpio.py",
    "ds18b20": "test_one_wire.py",
    "hwmon": "test_kernel_drivers.py",
    "iio": "test_kernel_drivers.py",
    "pulse_counter": "test_gpio.py",
}
"""Drivers of GPIO lines and of what the kernel makes of its buses, and the test that runs them."""

NOT_HERE: Mapping[str, str] = {
    "host": "it reads the machine, not a board",
    "modbus": "it speaks to a server over TCP or a serial line, which the machine itself has: test_modbus_driver.py",
    "pms5003": "User-Mode Linux has no serial port but consoles: test_pms5003_driver.py has a pseudo-terminal",
    "pwm_output": "User-Mode Linux has no PWM controller",
    "replay": "it reads a file",
    "thermal": "User-Mode Linux has no thermal zone",
}
"""Drivers that the board has nothing for, and why."""


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
    return [Case(kind, family) for kind in registry.DRIVERS for family in families(kind) if family in SIMULATED]


def families(kind: str) -> tuple[str, ...]:
    """The families of the buses that a driver can be on; none for one that is on no bus."""
    driver = registry.load(kind)
    assert driver is not None
    return driver.families
