"""Raw transfers on the board's SPI bus."""

from collections.abc import Sequence

from wayside_edge.hal.spi import SpidevAdapter


def transfer(device: Sequence[int], data: Sequence[int]) -> list[int]:
    """Send `data` to /dev/spidevX.Y, `device` being X and Y; what came meanwhile."""
    bus, chip_select = device
    opened = SpidevAdapter(bus).open(chip_select)
    try:
        return list(opened.xfer2(data))
    finally:
        opened.close()
