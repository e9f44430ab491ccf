"""Chips that the Linux kernel has a driver for: the kernel's reading and ours of the same simulated chip must agree.

The kernel's drivers were written by others from the same data sheets, so this holds model and driver to more than
each other; and it runs the drivers `iio` and `hwmon` on real sysfs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from board.drivers import Case
from board.machine import Chips, Wanted, running
from board.uml import Uml
from wayside_firmware.board import chips

pytestmark = pytest.mark.board
NEW_DEVICE = "/sys/bus/i2c/devices/i2c-0/new_device"


@dataclass(frozen=True, slots=True)
class Peer:
    """A driver of the kernel's.

    Args:
        chip: the model, and our driver of it.
        sensor: kind of our driver of what the kernel gives.
        name: what the kernel calls the device when it is asked for.
        same: our readings and what the kernel's are called, where that differs.
        relative: how far they may be apart.
    """

    chip: str
    sensor: Mapping[str, str]
    name: str
    same: Mapping[str, str] = field(default_factory=dict)
    relative: float = 0.002


PEERS = [
    Peer("ads1115", {"kind": "iio", "device": "ads1015"}, "ads1115", {"pressure": "voltage_0"}),
    Peer("bh1750", {"kind": "iio", "device": "bh1750"}, "bh1750"),
    Peer("bme280", {"kind": "iio", "device": "bme280"}, "bme280"),
    Peer("bmp280", {"kind": "iio", "device": "bmp280"}, "bmp280"),
    Peer("ina219", {"kind": "iio", "device": "ina219"}, "ina219", {"bus_voltage": "voltage_1"}),
    Peer("ina226", {"kind": "iio", "device": "ina226"}, "ina226", {"bus_voltage": "voltage_1"}),
    Peer("lm75", {"kind": "hwmon", "device": "lm75"}, "lm75"),
    Peer("sht3x", {"kind": "hwmon", "device": "sht3x"}, "sht3x"),
]


@pytest.mark.parametrize("peer", PEERS, ids=[peer.chip for peer in PEERS])
async def test_the_kernels_driver_and_ours_agree(peer: Peer, wanted: Wanted) -> None:
    case = Case(peer.chip, "i2c")
    async with running(Uml(), wanted, Chips(i2c=[case.chip])) as board:
        ours = await board.call("sensing:measure", bus={"kind": "i2c", "number": 0}, sensor=case.sensor)
        await board.call("system:write", path=NEW_DEVICE, text=f"{peer.name} {chips.load(peer.chip).address}")
        theirs = await board.call("sensing:measure_soon", sensor=peer.sensor, within_s=10)
    compared = 0
    for name, (value, unit, _) in ours.items():
        if (other := theirs.get(peer.same.get(name, name))) is not None:
            assert other[1] == unit
            assert other[0] == pytest.approx(value, rel=peer.relative, abs=0.02)
            compared += 1
    assert compared
