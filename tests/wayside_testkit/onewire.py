"""A folder of 1-Wire devices as the kernel makes it."""

from pathlib import Path
from typing import Final

MASTER: Final = "w1_bus_master1"


def check(data: bytes) -> int:
    """Maxim's checksum, bit by bit: x⁸ + x⁵ + x⁴ + 1, least significant bit first (Application Note 27)."""
    remainder = 0
    for byte in data:
        for bit in range(8):
            mix = (remainder ^ byte >> bit) & 1
            remainder = remainder >> 1 ^ (0x8C if mix else 0)
    return remainder


def page(scratchpad: bytes, thousandths: int, verdict: str = "YES") -> str:
    """What the kernel's `w1_slave` says of the nine bytes `scratchpad`."""
    line = scratchpad.hex(" ")
    return f"{line} : crc={check(scratchpad[:8]):02x} {verdict}\n{line} t={thousandths}\n"


def scratchpad(celsius: float, bits: int = 12, count: int = 0x10) -> bytes:
    """The nine bytes of a DS18B20 that has measured `celsius` (data sheet, Figures 4 and 9)."""
    code = round(celsius * 16) & 0xFFFF
    body = bytes((code & 0xFF, code >> 8, 0x4B, 0x46, (bits - 9) << 5 | 0x1F, 0xFF, count, 0x10))
    return body + bytes((check(body),))


POWER_ON: Final = scratchpad(85.0, count=0x0C)
"""50 05 4b 46 7f ff 0c 10 1c, as a DS18B20 has it before its first conversion."""


class W1Tree:
    """`/sys/bus/w1/devices` below `root`: links to devices that lie below their masters."""

    def __init__(self, root: Path) -> None:
        self._physical = root / "devices"
        self.root = root / "bus"
        self.root.mkdir(parents=True)
        self.master()

    def master(self, name: str = MASTER) -> Path:
        """Add a master; its folder."""
        folder = self._physical / name
        folder.mkdir(parents=True)
        (self.root / name).symlink_to(folder)
        return folder

    def put(self, device: str, text: str, master: str = MASTER) -> Path:
        """Plug `device` in; its folder. Its `w1_slave` says `text`."""
        folder = self._physical / master / device
        folder.mkdir(exist_ok=True)
        (folder / "w1_slave").write_text(text)
        if not (self.root / device).exists():
            (self.root / device).symlink_to(folder)
        return folder

    def unplug(self, device: str) -> None:
        """The kernel has forgotten `device`."""
        (self.root / device).unlink()

    def bulk(self, master: str = MASTER) -> Path:
        """Let the master have all thermometers convert together; the file that tells when it was asked to."""
        file = self._physical / master / "therm_bulk_read"
        file.write_text("")
        return file
