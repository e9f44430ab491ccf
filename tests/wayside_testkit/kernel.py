"""A sysfs as the kernel makes it: devices below their buses, and classes of links to them."""

from collections.abc import Mapping
from pathlib import Path


class SysTree:
    """`/sys` below `root`, with IIO, hwmon and thermal devices."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def iio(self, number: int, name: str, at: str, files: Mapping[str, str]) -> Path:
        """An IIO device; the folder of its attributes."""
        folder = self.root / "devices" / at / f"iio:device{number}"
        return self._put(folder, self.root / "bus/iio/devices", {"name": name, **files})

    def hwmon(self, number: int, name: str, at: str, files: Mapping[str, str]) -> Path:
        """A hwmon device; the folder of its attributes."""
        folder = self.root / "devices" / at / "hwmon" / f"hwmon{number}"
        put = self._put(folder, self.root / "class/hwmon", {"name": name, **files})
        (folder / "device").symlink_to(self.root / "devices" / at)
        return put

    def thermal(self, number: int, kind: str, thousandths: str) -> Path:
        """A thermal zone; the folder of its attributes."""
        folder = self.root / "devices/virtual/thermal" / f"thermal_zone{number}"
        return self._put(folder, self.root / "class/thermal", {"type": kind, "temp": thousandths})

    def _put(self, folder: Path, links: Path, files: Mapping[str, str]) -> Path:
        folder.mkdir(parents=True)
        links.mkdir(parents=True, exist_ok=True)
        (links / folder.name).symlink_to(folder)
        for name, text in files.items():
            (folder / name).write_text(f"{text}\n")
        return folder
