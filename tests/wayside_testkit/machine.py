"""Trees like those of /sys, /dev, /proc, /boot and /etc, for programs that take their root."""

from pathlib import Path


class Machine:
    """A recorded machine below `root`.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, place: str, text: str = "") -> Path:
        """A file with `text`."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, place: str, target: str) -> None:
        """A symbolic link to `target`, which need not be there."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def adapter(self, number: int, name: str = "bcm2835 (i2c@7e804000)") -> None:
        """An I2C adapter with its device node."""
        self.file(f"sys/bus/i2c/devices/i2c-{number}/name", f"{name}\n")
        self.file(f"dev/i2c-{number}")

    def client(self, number: int, address: int, name: str, driver: str | None) -> None:
        """A chip that the kernel knows, with the driver that holds it."""
        place = f"sys/bus/i2c/devices/{number}-{address:04x}"
        self.file(f"{place}/name", f"{name}\n")
        if driver is not None:
            self.link(f"{place}/driver", f"../../../../bus/i2c/drivers/{driver}")

    def spi(self, number: int, chip_select: int, driver: str = "spidev") -> None:
        """A chip select, held by `driver`."""
        name = f"{number}.{chip_select}"
        self.link(f"sys/bus/spi/devices/spi{name}/driver", f"../../../../bus/spi/drivers/{driver}")
        if driver == "spidev":
            self.file(f"dev/spidev{name}")
