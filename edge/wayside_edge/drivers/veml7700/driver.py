"""The driver of the VEML7700.

Source: Vishay, VEML7700 data sheet, document 84286: section "Slave Address and Function Description" with its tables of
registers, which are little-endian; application note 84323 "Designing the VEML7700 Into an Application": settling time
after power-on, automatic range, correction formula.
"""

from collections.abc import Sequence
from contextlib import suppress

from wayside_edge.drivers.veml7700.settings import FIRST_RUNG, LADDER, Range, Veml7700Settings
from wayside_edge.errors import BusError
from wayside_edge.hal.chip import I2cDriver, decimals_of
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

CONFIG, POWER_SAVING, LIGHT, IDENTITY = 0x00, 0x03, 0x04, 0x07
DEVICE = 0x81
"""Low byte of the identity; the high one tells the address."""
SHUT_DOWN = 0x0001
MARK = 0x0010
"""Two measurements for the interrupt, which is off: is 0 after power-on, so a chip that was reset shows."""
WAKE_S = 0.0025
"""From shutdown to the begin of the first integration."""
SETTLE = 2.0
"""Integration times to wait: the chip has no sign that it has finished, and no tolerance is given."""
FEW, MANY, FULL = 100, 10_000, 0xFFFF
"""Counts below which a finer, and above which a coarser range is better (application note, flow chart)."""
HALF_WAY = MANY // 2
BRIGHTEST_LX = 140_000.0
"""What the data sheet promises; the formula is good up to there."""


class Veml7700(I2cDriver):
    """A VEML7700 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Veml7700Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._ladder: Sequence[Range] = LADDER if settings.auto_range else (settings.fixed,)
        self._rung = 0

    def start(self) -> Steps[None]:
        """See `Driver`."""
        self.connect()
        identity = self._little(IDENTITY)
        if identity & 0xFF != DEVICE:
            what = f"is no VEML7700: identity 0x{identity:04x} does not end in 0x81; check kind and address"
            raise self.error(what, Quality.WRONG_CHIP)
        self.put(POWER_SAVING, b"\x00\x00")
        yield from self._turn_to(FIRST_RUNG if self._settings.auto_range else 0)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. The chip measures all the time; a new range takes 50 ms to 1.6 s to settle."""
        counts = self._counts()
        for _ in self._ladder:
            rung = self._better(counts)
            if rung == self._rung:
                break
            yield from self._turn_to(rung)
            counts = self._counts()
        return [self._reading(counts)]

    def close(self) -> None:
        """See `Driver`."""
        with suppress(BusError):  # a chip that is away cannot be put to sleep, and need not be
            if self._bus is not None:
                self._put_little(CONFIG, self._config | SHUT_DOWN)
        self.disconnect()

    @property
    def _config(self) -> int:
        return self._ladder[self._rung].code | MARK

    def _turn_to(self, rung: int) -> Steps[None]:
        """Change the range while asleep, so that no measurement is of two ranges."""
        self._rung = rung
        self._put_little(CONFIG, self._config | SHUT_DOWN)
        self._put_little(CONFIG, self._config)
        yield WAKE_S + SETTLE * self._ladder[rung].integration_ms / 1000

    def _counts(self) -> int:
        if self._little(CONFIG) != self._config:
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        return self._little(LIGHT)

    def _better(self, counts: int) -> int:
        """The rung for light that gives `counts` at the present one."""
        if FEW < counts <= MANY:
            return self._rung
        if counts == FULL:
            return 0
        here = self._ladder[self._rung].lux_per_count
        expected = [counts * here / each.lux_per_count for each in self._ladder]
        if counts > MANY:
            return max((rung for rung in range(self._rung) if expected[rung] <= MANY), default=0)
        finer = range(self._rung + 1, len(self._ladder))
        return max((rung for rung in finer if expected[rung] <= HALF_WAY), default=self._rung)

    def _reading(self, counts: int) -> Reading:
        step = self._ladder[self._rung].lux_per_count
        lux = counts * step
        if self._settings.correct:
            lux = corrected(lux)
        if lux > BRIGHTEST_LX:
            return Reading("illuminance", BRIGHTEST_LX, "lx", decimals=0, quality=Quality.CLIPPED)
        quality = Quality.CLIPPED if counts == FULL else Quality.GOOD
        return Reading("illuminance", lux, "lx", decimals=decimals_of(step), quality=quality)

    def _little(self, register: int) -> int:
        return int.from_bytes(self.get(register, 2), "little")

    def _put_little(self, register: int, value: int) -> None:
        self.put(register, value.to_bytes(2, "little"))


def corrected(lux: float) -> float:
    """Illuminance in lx from what the chip gives, which is too little in bright light.

    Source: Vishay application note 84323, the polynomial of fourth order. The note uses it for gains of 1/4 and 1/8,
    where it matters; below 10 lx it adds 0.3 %, so ranges meet without a step.
    """
    return (((6.0135e-13 * lux - 9.3924e-9) * lux + 8.1488e-5) * lux + 1.0023) * lux


def _identify(bus: I2cBus, address: int) -> bool:
    return bus.write_read(address, bytes((IDENTITY,)), 2)[0] == DEVICE


KIND = DriverKind(
    title="Vishay VEML7700: illuminance over five decades",
    settings=Veml7700Settings,
    build=Veml7700,
    families=("i2c",),
    quantities=(Quantity("illuminance", "lx", 0.0, BRIGHTEST_LX, "±10 % from chip to chip"),),
    addresses=(0x10,),
    identify=_identify,
)
