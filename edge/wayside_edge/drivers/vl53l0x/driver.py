"""The driver of the VL53L0X.

Source: STMicroelectronics, VL53L0X API 1.0.2 (STSW-IMG005): VL53L0X_ResetDevice, VL53L0X_DataInit, VL53L0X_StaticInit,
VL53L0X_perform_ref_calibration, VL53L0X_GetRangingMeasurementData and VL53L0X_get_pal_range_status; VL53L0X data
sheet, DocID029104 (identity, boot time, ranging accuracy). Names of registers as in the API's `vl53l0x_device.h`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.drivers.vl53l0x import sequence
from wayside_edge.drivers.vl53l0x.sequence import PAGE
from wayside_edge.hal.chip import I2cDriver
from wayside_edge.ports import BusProvider, DriverKind, I2cBus, Quantity, Reading, Steps
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

SYSRANGE_START, SEQUENCE_CONFIG, INTERRUPT_CONFIG, INTERRUPT_CLEAR = 0x00, 0x01, 0x0A, 0x0B
INTERRUPT_STATUS, RANGE_STATUS, SIGNAL_LIMIT, SPAD_OFFSET, SPAD_COUNT = 0x13, 0x14, 0x44, 0x4F, 0x4E
MSRC_CONFIG_CONTROL, FINAL_RANGE_TIMEOUT, POWER, GPIO_ACTIVE_HIGH, PAD_VOLTAGE = 0x60, 0x71, 0x80, 0x84, 0x89
STOP_VARIABLE, GOOD_SPADS, SPAD_START, SOFT_RESET, MODEL_ID = 0x91, 0xB0, 0xB6, 0xBF, 0xC0
CHIP_ID = b"\xee\xaa"
BOOT_S = 0.002
"""1.2 ms at most (data sheet)."""
CALIBRATION_S = 0.01
NVM_S = 0.002
SIGNAL_LIMIT_MCPS = 0.25
"""Least return signal of a valid distance, in million counts per second: the API's default."""
DSS_PRE_RANGE_FINAL_RANGE = 0xE8
"""The steps of a measurement; a chip after a reset has 0xFF here."""
NEW_SAMPLE = 0x07
NOTHING_MM = 8190
"""What the chip gives for no distance, and more than that when it has an offset."""
VALID, SIGNAL_FAIL, PHASE_FAIL, TOO_NEAR, HARDWARE_FAIL = (11,), (4,), (6, 9), (8, 10), (1, 2, 3)
"""Bits 3 to 6 of the range status; the others are no result."""


@dataclass(frozen=True, slots=True)
class Vl53l0xSettings:
    """Settings of a sensor of kind `vl53l0x`."""

    address: int = setting("I2C address: always 0x29.", 0x29, choices=(0x29,), hexadecimal=True)
    timing_budget_ms: int = setting(
        "How long one measurement takes, in ms: longer is steadier.", 33, minimum=20, maximum=1000
    )
    pins_2v8: bool = setting("Whether its bus pins are at 2.8 V as on the usual modules, not at 1.8 V.", True)


class Vl53l0x(I2cDriver):
    """A VL53L0X on an I2C bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Vl53l0xSettings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.address)
        self._settings = settings
        self._timeout = sequence.final_range_timeout(settings.timing_budget_ms * 1000)
        self._stop_variable = 0

    def start(self) -> Steps[None]:
        """See `Driver`. Resets the chip, loads ST's tuning and calibrates; takes 30 ms."""
        self.connect()
        identity = self.get(MODEL_ID, 2)
        if identity not in (CHIP_ID, bytes(2)):  # zeros: in a reset that was broken off
            what = f"is no VL53L0X: identity {identity.hex()} instead of {CHIP_ID.hex()}"
            raise self.error(what, Quality.WRONG_CHIP)
        yield from self._reset()
        self._prepare()
        count, aperture = yield from self._spad_info()
        good = self.get(GOOD_SPADS, sequence.SPADS // 8)
        self._say((PAGE, 1), (SPAD_OFFSET, 0x00), (SPAD_COUNT, 0x2C), (PAGE, 0), (SPAD_START, 0xB4))
        self.put(GOOD_SPADS, sequence.reference_spads(good, count, aperture=aperture))
        self._say(*sequence.tuning())
        self.put(INTERRUPT_CONFIG, b"\x04")
        self._say((GPIO_ACTIVE_HIGH, self._byte(GPIO_ACTIVE_HIGH) & ~0x10))
        self._say((INTERRUPT_CLEAR, 0x01), (SEQUENCE_CONFIG, DSS_PRE_RANGE_FINAL_RANGE))
        self.put_word(FINAL_RANGE_TIMEOUT, self._timeout)
        yield from self._calibrate(0x01, 0x41)  # of the laser's supply
        yield from self._calibrate(0x02, 0x01)  # of the phase
        self.put(SEQUENCE_CONFIG, bytes((DSS_PRE_RANGE_FINAL_RANGE,)))

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes the timing budget; nothing in range is a reading without a value."""
        kept = self._byte(SEQUENCE_CONFIG), self.word(FINAL_RANGE_TIMEOUT)
        if kept != (DSS_PRE_RANGE_FINAL_RANGE, self._timeout):
            raise self.error("lost its settings: did its power fail?", Quality.POWER_LOST)
        self._say((POWER, 1), (PAGE, 1), (0x00, 0), (STOP_VARIABLE, self._stop_variable), (0x00, 1), (PAGE, 0))
        self._say((POWER, 0), (SYSRANGE_START, 1))
        yield from self._finished(self._settings.timing_budget_ms / 1000, "did not finish its measurement")
        block = self.get(RANGE_STATUS, 12)
        self.put(INTERRUPT_CLEAR, b"\x01")
        return [self._reading(block[0] >> 3 & 0x0F, int.from_bytes(block[10:], "big"))]

    def close(self) -> None:
        """See `Driver`. After a single measurement the chip is idle."""
        self.disconnect()

    def _reset(self) -> Steps[None]:
        self.put(SOFT_RESET, b"\x00")
        yield from self.poll(lambda: self._byte(MODEL_ID) == 0, 0.0, "does not go into reset")
        self.put(SOFT_RESET, b"\x01")
        yield from self.poll(lambda: self.get(MODEL_ID, 2) == CHIP_ID, BOOT_S, "does not start after a reset")

    def _prepare(self) -> None:
        """Standard mode of the bus, the variable that later lets a measurement stop, and which limits apply."""
        if self._settings.pins_2v8:
            self.put(PAD_VOLTAGE, bytes((self._byte(PAD_VOLTAGE) | 0x01,)))
        self._say((0x88, 0), (POWER, 1), (PAGE, 1), (0x00, 0))
        self._stop_variable = self._byte(STOP_VARIABLE)
        self._say((0x00, 1), (PAGE, 0), (POWER, 0))
        self.put(MSRC_CONFIG_CONTROL, bytes((self._byte(MSRC_CONFIG_CONTROL) | 0x12,)))
        self.put_word(SIGNAL_LIMIT, round(SIGNAL_LIMIT_MCPS * 128))
        self.put(SEQUENCE_CONFIG, b"\xff")

    def _spad_info(self) -> Steps[tuple[int, bool]]:
        """Number and kind of the reference SPADs, from the chip's non-volatile memory."""
        self._say((POWER, 1), (PAGE, 1), (0x00, 0), (PAGE, 6))
        self.put(0x83, bytes((self._byte(0x83) | 0x04,)))
        self._say((PAGE, 7), (0x81, 1), (POWER, 1), (0x94, 0x6B), (0x83, 0))
        yield from self.poll(lambda: self._byte(0x83) != 0, NVM_S, "does not read its memory")
        self.put(0x83, b"\x01")
        info = self._byte(0x92)
        self._say((0x81, 0), (PAGE, 6))
        self.put(0x83, bytes((self._byte(0x83) & ~0x04,)))
        self._say((PAGE, 1), (0x00, 1), (PAGE, 0), (POWER, 0))
        return info & 0x7F, bool(info & 0x80)

    def _calibrate(self, steps: int, start: int) -> Steps[None]:
        self._say((SEQUENCE_CONFIG, steps), (SYSRANGE_START, start))
        yield from self._finished(CALIBRATION_S, "did not finish its calibration")
        self._say((INTERRUPT_CLEAR, 1), (SYSRANGE_START, 0))

    def _finished(self, wait_s: float, failure: str) -> Steps[None]:
        return self.poll(lambda: bool(self._byte(INTERRUPT_STATUS) & NEW_SAMPLE), wait_s, failure)

    def _reading(self, status: int, millimetres: int) -> Reading:
        if status in HARDWARE_FAIL:
            raise self.error(f"reports a fault of its laser (status {status}); replace it", Quality.INVALID)
        if status in TOO_NEAR and millimetres < NOTHING_MM:
            return Reading("distance", millimetres, "mm", decimals=0, quality=Quality.CLIPPED)
        if status in VALID and millimetres < NOTHING_MM:
            return Reading("distance", millimetres, "mm", decimals=0)
        known = (*VALID, *SIGNAL_FAIL, *PHASE_FAIL, *TOO_NEAR)
        quality = Quality.OUT_OF_RANGE if status in known else Quality.INVALID
        return Reading("distance", None, "mm", quality=quality)

    def _byte(self, register: int) -> int:
        return self.get(register, 1)[0]

    def _say(self, *pairs: tuple[int, int]) -> None:
        for register, value in pairs:
            self.put(register, bytes((value & 0xFF,)))


def _identify(bus: I2cBus, address: int) -> bool:
    return bus.write_read(address, bytes((MODEL_ID,)), 2) == CHIP_ID


KIND = DriverKind(
    title="ST VL53L0X: distance by time of flight",
    settings=Vl53l0xSettings,
    build=Vl53l0x,
    families=("i2c",),
    quantities=(Quantity("distance", "mm", 0.0, NOTHING_MM, "a few percent, by target, light and timing budget"),),
    addresses=(0x29,),
    identify=_identify,
)
"""Accuracy: data sheet, Ranging accuracy."""
