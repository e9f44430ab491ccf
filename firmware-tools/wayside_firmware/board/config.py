"""Configuration of an agent on a simulated board."""

from wayside_firmware.board.air import PLACES

ADDRESSES = (0x76, 0x77)
"""All that a BME280 can have: two on a bus (data sheet BST-BME280-DS001, 6.2)."""


def simulated_board(places: int = len(PLACES), hurry: float = 1.0) -> str:
    """The `[[bus]]` and `[[sensor]]` tables of a board with a BME280 in each of the first `places` places.

    Args:
        places: how many, 1 to `len(PLACES)`.
        hurry: how many times faster than real the weather changes.
    """
    names = list(PLACES)[:places]
    buses, sensors = [], []
    for first in range(0, len(names), len(ADDRESSES)):
        bus = f"simulated-{first // len(ADDRESSES) + 1}"
        chips = []
        for offset, (address, place) in enumerate(zip(ADDRESSES, names[first:], strict=False)):
            seed = first + offset + 1
            chips.append(f'  {{ model = "bme280", address = 0x{address:02x}, place = "{place}", seed = {seed} }},\n')
            sensors.append(f'[[sensor]]\nname = "{place}"\nkind = "bme280"\nbus = "{bus}"\naddress = 0x{address:02x}\n')
        buses.append(f'[[bus]]\nname = "{bus}"\nkind = "simulated"\nhurry = {hurry}\nchips = [\n{"".join(chips)}]\n')
    return "\n".join([*buses, *sensors])
