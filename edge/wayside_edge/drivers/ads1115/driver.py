"""The driver of the ADS1115.

Source: Texas Instruments, ADS111x data sheet, SBAS444D (January 2018): sections "Single-Shot Mode", "Output Data Rate
and Conversion Time", "Data Format", "Config Register"; Tables "Absolute Maximum Ratings" and "Electrical
Characteristics" (data rate ±10 %).
"""

from collections.abc import Sequence

from wayside_edge.drivers.ads1115.settings import (
    DATA_RATES_HZ,
    FULL_SCALES_V,
    INPUTS,
    Ads1115Channel,
    Ads1115Settings,
)
from wayside_edge.hal.chip import I2cDriver, decimals_of, signed
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality

CONVERSION, CONFIG, LO_THRESH, HI_THRESH = 0, 1, 2, 3
OS, SINGLE_SHOT = 0x8000, 0x0100
COMPARATOR_OFF = 0x0003
MARK = 0x0004
"""COMP_LAT: does nothing while the comparator is off, and is 0 after power-on, so a chip that was reset shows."""
STEPS = 1 << 15
SLOWEST = 1.1
"""A conversion takes up to a tenth longer than 1/DR."""
WAKE_S = 50e-6
"""From power-down to the first sample: 25 µs typical; twice that."""
LEAST_V = -0.3
"""An input against ground cannot be lower: the protection diodes conduct."""


class Ads1115(I2cDriver):
    """An ADS1115 on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Ads1115Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings

    def start(self) -> Steps[None]:
        """See `Driver`. The chip has no identity: it is one if it keeps a setting as an ADS1115 does."""
        self.connect()
        config = self._config(self._settings.channels[0])
        self.put_word(CONFIG, config)
        found = self.word(CONFIG)
        if found & ~OS != config:
            raise self.error(f"is no ADS1115: keeps 0x{found:04x} where 0x{config:04x} was set", Quality.WRONG_CHIP)
        if not found & OS:
            # A conversion that a program before began cannot be broken off, and a new one would not begin meanwhile.
            slowest_s = SLOWEST / min(DATA_RATES_HZ)
            yield from self.poll(lambda: bool(self.word(CONFIG) & OS), slowest_s, "does not finish the last conversion")

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Converts one input after the other, 1.3 ms to 138 ms each."""
        readings = []
        for channel in self._settings.channels:
            reading = yield from self._measure(channel)
            readings.append(reading)
        return readings

    def close(self) -> None:
        """See `Driver`. After a single conversion the chip sleeps by itself."""
        self.disconnect()

    def _config(self, channel: Ads1115Channel) -> int:
        gain = FULL_SCALES_V.index(channel.full_scale_v)
        rate = DATA_RATES_HZ.index(self._settings.data_rate_hz)
        return INPUTS.index(channel.input) << 12 | gain << 9 | SINGLE_SHOT | rate << 5 | MARK | COMPARATOR_OFF

    def _measure(self, channel: Ads1115Channel) -> Steps[Reading]:
        config = self._config(channel)

        def finished() -> bool:
            found = self.word(CONFIG)
            if found & ~OS != config:
                raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
            return bool(found & OS)

        self.put_word(CONFIG, config | OS)
        wait_s = SLOWEST / self._settings.data_rate_hz + WAKE_S
        yield from self.poll(finished, wait_s, "did not finish its conversion")
        code = signed(self.word(CONVERSION), 16)
        finished()  # a supply that failed since the conversion ended has emptied its register
        return _reading(channel, code)


def _reading(channel: Ads1115Channel, code: int) -> Reading:
    step_v = channel.full_scale_v / STEPS
    volt = code * step_v
    if channel.single_ended and volt < LEAST_V:
        return Reading(channel.name, None, channel.unit, quality=Quality.OUT_OF_RANGE)
    return Reading(
        channel.name,
        channel.offset + channel.scale * volt,
        channel.unit,
        decimals=decimals_of(step_v * abs(channel.scale)),
        quality=Quality.CLIPPED if code in (-STEPS, STEPS - 1) else Quality.GOOD,
    )


def _identify(bus: I2cBus, address: int) -> bool:
    """Whether the comparator's limits are those of an ADS1115, which hardly anybody changes."""
    found = [bus.write_read(address, bytes((register,)), 2) for register in (LO_THRESH, HI_THRESH)]
    return found == [b"\x80\x00", b"\x7f\xff"]


KIND = DriverKind(
    title="Texas Instruments ADS1115: four analogue inputs, 16 bits",
    settings=Ads1115Settings,
    build=Ads1115,
    families=("i2c",),
    quantities=(Quantity("*", "", -1e12, 1e12, "±0.15 % of the voltage"),),
    addresses=(0x48, 0x49, 0x4A, 0x4B),
    identify=_identify,
)
"""Accuracy: gain error of the Table "Electrical Characteristics"; the bounds follow from each channel's scale."""
