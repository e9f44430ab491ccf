"""The driver of the BH1750.

Source: ROHM, BH1750FVI Technical Note, No. 11046EDT01, Rev. D (November 2011): "Instruction Set Architecture" and
"Measurement sequence example from Write instruction to Read measurement result".
"""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.drivers.bh1750.settings import Bh1750Settings, Resolution
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, decimals_of
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, Steps
from wayside_shared.quality import Quality

POWER_DOWN, POWER_ON, RESET = 0x00, 0x01, 0x07
CONTINUOUSLY, ONE_TIME = 0x10, 0x20
MODE = {Resolution.HIGH: 0x0, Resolution.HIGH2: 0x1, Resolution.LOW: 0x3}
TIME_HIGH, TIME_LOW = 0x40, 0x60
MOST = 0xFFFF


class Bh1750(I2cDriver):
    """A BH1750 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Bh1750Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings

    def start(self) -> Steps[None]:
        """See `Driver`. The chip has no identity: it is one if a reset empties its result."""
        self.connect()
        self._reset()
        found = self.receive(2)
        if found != b"\x00\x00":
            what = f"is no BH1750: gives 0x{found.hex()} after a reset instead of 0x0000; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)
        if self._settings.continuous:
            self._measure()
            yield self._settings.measurement_s

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 11 ms to 0.7 s, in the dark up to twice that."""
        if not self._settings.continuous:
            self._reset()
            self._measure()
            yield self._settings.measurement_s
        counts = int.from_bytes(self.receive(2), "big")
        if counts == 0:
            # Dark, or not finished, or without power for a moment: then measuring all the time has ended, too.
            if self._settings.continuous:
                self._measure()
            yield self._settings.measurement_s
            counts = int.from_bytes(self.receive(2), "big")
        step = self._settings.lux_per_count
        quality = Quality.CLIPPED if counts == MOST else Quality.GOOD
        return [Reading("illuminance", counts * step, "lx", decimals=decimals_of(step), quality=quality)]

    def close(self) -> None:
        """See `Driver`."""
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._bus is not None:
                self.put(POWER_DOWN)
        self.disconnect()

    def _reset(self) -> None:
        self.put(POWER_ON)  # asleep, it takes no reset
        self.put(RESET)

    def _measure(self) -> None:
        time = self._settings.measurement_time
        self.put(TIME_HIGH | time >> 5)
        self.put(TIME_LOW | time & 0x1F)
        self.put((CONTINUOUSLY if self._settings.continuous else ONE_TIME) | MODE[self._settings.resolution])


KIND = DriverKind(
    title="ROHM BH1750FVI: illuminance",
    settings=Bh1750Settings,
    build=Bh1750,
    families=("i2c",),
    quantities=(Quantity("illuminance", "lx", 0.0, 121_557.0, "±20 %"),),
    addresses=(0x23, 0x5C),
)
"""Range: 65535 counts in high resolution at the shortest measurement time; accuracy: "Electrical Characteristics"."""
