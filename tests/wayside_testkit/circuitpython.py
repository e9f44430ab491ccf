"""Adafruit's CircuitPython drivers on this machine: they ask for modules of their boards, of which a few names do."""

import importlib
import sys
from enum import Enum
from types import ModuleType
from typing import Any


class _Direction(Enum):
    INPUT = "input"
    OUTPUT = "output"


class _Pull(Enum):
    UP = "up"
    DOWN = "down"


_BOARD: dict[str, dict[str, Any]] = {
    "busio": {"I2C": object, "SPI": object, "UART": object},
    "micropython": {"const": lambda value: value},
    "digitalio": {"Direction": _Direction, "Pull": _Pull, "DigitalInOut": object},
}


def driver(name: str) -> ModuleType:
    """The driver module `name`, imported now."""
    for missing, names in _BOARD.items():
        module = sys.modules.setdefault(missing, ModuleType(missing))
        for each, value in names.items():
            module.__dict__.setdefault(each, value)
    return importlib.import_module(name)
