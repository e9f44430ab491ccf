"""What this board tells of itself beyond what every machine does: its supply, its flash, and this process on it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside_edge.errors import BusError

UNDER_VOLTAGE: Final = 0x1
SLOWED: Final = 0x2 | 0x4 | 0x8
"""Bits of get_throttled: under-voltage; capped, throttled, soft temperature limit (Raspberry Pi documentation,
vcgencmd get_throttled)."""
LIFE_STEP_PERCENT: Final = 10
"""JESD84-B51, 7.4.27: DEVICE_LIFE_TIME_EST counts the life used in steps of 10 %; 0 is not defined."""


@dataclass(frozen=True, slots=True)
class Supply:
    """Whether the supply is too low now, and whether the processor is slowed down now."""

    under_voltage: bool
    slowed: bool


@dataclass(frozen=True, slots=True)
class FlashWear:
    """How worn an eMMC is.

    Args:
        name: of the block device.
        used_percent: life used at most, in steps of 10; None when it does not tell.
        pre_eol: 1 normal, 2 four fifths of the spare blocks are used, 3 nine tenths; None when it does not tell.
    """

    name: str
    used_percent: int | None
    pre_eol: int | None


class Board:
    """The board whose file systems are under `root`.

    Args:
        root: `/`, or a recorded tree in tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def resident_bytes(self) -> int:
        """Memory that this process holds (proc(5), /proc/self/statm).

        Raises:
            BusError: the kernel does not tell.
        """
        file = self._root / "proc/self/statm"
        try:
            return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError) as error:
            raise BusError(f"{file} does not tell: {error}; is /proc mounted?") from error

    def supply(self) -> Supply | None:
        """How the supply is, on a Raspberry Pi; None elsewhere."""
        for file in self._root.glob("sys/devices/platform/soc*/*firmware/get_throttled"):
            flags = _number(file, 16)
            if flags is not None:
                return Supply(bool(flags & UNDER_VOLTAGE), bool(flags & SLOWED))
        return None

    def flash(self) -> Iterator[FlashWear]:
        """The wear of each eMMC that tells it; SD cards have no such registers."""
        for file in sorted(self._root.glob("sys/block/mmcblk*/device/life_time")):
            try:
                steps = [int(word, 16) for word in file.read_text().split()]
            except (OSError, ValueError):
                steps = []
            most = max(steps, default=0)
            used = most * LIFE_STEP_PERCENT if 0 < most <= 11 else None
            yield FlashWear(file.parents[1].name, used, _number(file.with_name("pre_eol_info"), 16) or None)


def _number(file: Path, base: int) -> int | None:
    try:
        return int(file.read_text().strip(), base)
    except (OSError, ValueError):
        return None
