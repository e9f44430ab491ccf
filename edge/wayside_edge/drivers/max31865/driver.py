"""The driver of the MAX31865.

Source: Maxim Integrated, MAX31865 data sheet, 19-6478, revision 3 (July 2015): Internal Registers with Tables 1 to 7,
Serial Interface (modes 1 and 3, 5 MHz), Electrical Characteristics (conversion times), Detecting and Decoding RTD and
Cable Faults with Tables 10 to 12.
"""

from collections.abc import Sequence

from wayside_edge.drivers.max31865 import platinum
from wayside_edge.drivers.max31865.settings import Max31865Settings
from wayside_edge.hal.chip import SpiDriver, decimals_of
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, Steps
from wayside_shared.quality import Quality

MODE = 1
MAX_SPEED_HZ = 5_000_000
CONFIG, HIGH_THRESHOLD, WRITE = 0x00, 0x03, 0x80
REGISTERS = 8
BIAS, ONE_SHOT, THREE_WIRE, DETECT, DETECTING, CLEAR, FILTER_50_HZ = 0x80, 0x20, 0x10, 0x04, 0x0C, 0x02, 0x01
SETTLE_S = 0.01
"""Ten and a half time constants of the input filter and 1 ms more (1-Shot): 100 nF at 430 Ohm have 0.5 ms."""
DETECTION_S = 0.001
"""An automatic cycle waits 100 µs before each of its checks (Fault Detection Cycle)."""
CONVERSION_S = {50: 0.066, 60: 0.055}
"""Longest single conversion, by the frequency that is filtered out. Without the DRDY pin it has to be waited for."""
CODES = 1 << 15
MARGIN_C, TOLERANCE_C = 10.0, 2.0
"""The thresholds lie the margin outside of the element's range, to tell broken elements from hot ones; what lies more
than the tolerance outside is no measurement. Both hold an element's and a chip's errors."""
LOW_C, HIGH_C = platinum.MIN_C - TOLERANCE_C, platinum.MAX_C + TOLERANCE_C
FAULTS = (
    (0x04, "over- or undervoltage at an input"),
    (0x20, "REFIN- high: the element or a FORCE wire is open"),
    (0x10, "REFIN- low: a FORCE- wire is shorted"),
    (0x08, "RTDIN- low: an RTDIN or FORCE wire is shorted"),
    (0x80, "resistance too high: the element is open"),
    (0x40, "resistance too low: the element is shorted"),
)
"""Bits of the fault status (Tables 7 and 10 to 12), the most telling first."""


class Max31865(SpiDriver):
    """A MAX31865 on an SPI bus.

    Args:
        settings: its settings.
        bus: name of the bus it is on.
        buses: where to get that bus from.
    """

    def __init__(self, settings: Max31865Settings, bus: str, buses: BusProvider) -> None:
        super().__init__(buses, bus, settings.chip_select, mode=MODE, max_speed_hz=MAX_SPEED_HZ)
        self._settings = settings
        self._base = (THREE_WIRE if settings.wires == 3 else 0) | (FILTER_50_HZ if settings.mains_hz == 50 else 0)
        highest = self._code(platinum.MAX_C + MARGIN_C, limit=CODES - 1)
        lowest = self._code(platinum.MIN_C - MARGIN_C, limit=CODES - 1)
        self._thresholds = (highest << 1).to_bytes(2, "big") + (lowest << 1).to_bytes(2, "big")
        step_ohm = settings.full_scale_ohm / CODES
        self._decimals = decimals_of(step_ohm / (settings.element.ohm * platinum.A))

    def start(self) -> None:
        """See `Driver`. The chip has no identity: it is one if it keeps its thresholds."""
        self.connect()
        self._put(CONFIG, bytes((self._base | CLEAR,)))
        self._put(HIGH_THRESHOLD, self._thresholds)
        block = self._registers()
        if block in (b"\x00" * REGISTERS, b"\xff" * REGISTERS):
            bit = block[0] & 1
            raise self.error(f"does not answer: all bits are {bit}; check its power and wiring", Quality.ABSENT)
        if block[0] != self._base or block[3:7] != self._thresholds:
            what = f"is no MAX31865, or its wires are too long: keeps {block.hex()} as its registers"
            raise self.error(what, Quality.WRONG_CHIP)

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`. Takes 77 ms, or 66 ms with the filter for 60 Hz; the bias is on only meanwhile."""
        self._put(CONFIG, bytes((self._base | BIAS | CLEAR,)))
        yield SETTLE_S
        self._put(CONFIG, bytes((self._base | BIAS | DETECT,)))
        yield from self.poll(
            lambda: not self._registers()[0] & DETECTING, DETECTION_S, "did not finish its search for faults"
        )
        self._put(CONFIG, bytes((self._base | BIAS | ONE_SHOT,)))
        yield CONVERSION_S[self._settings.mains_hz]
        block = self._registers()
        self._put(CONFIG, bytes((self._base,)))
        if block[0] != self._base | BIAS or block[3:7] != self._thresholds:
            what = f"lost its settings ({block.hex()}): did its power fail, or is the wiring loose?"
            raise self.error(what, Quality.POWER_LOST)
        code = block[1] << 8 | block[2]
        if code & 1 or block[7]:
            found = next((text for bit, text in FAULTS if block[7] & bit), "no cause given")
            raise self.error(f"reports a fault of the element or its wires: {found}", Quality.OPEN_CIRCUIT)
        return [self._reading(code >> 1)]

    def close(self) -> None:
        """See `Driver`. Between reads the chip is idle and the bias off."""
        self.disconnect()

    def _reading(self, code: int) -> Reading:
        settings = self._settings
        ohm = code * settings.full_scale_ohm / CODES - settings.lead_ohm
        celsius = platinum.temperature(ohm / settings.element.ohm)
        if not LOW_C <= celsius <= HIGH_C:
            what = f"measures {ohm:.2f} Ohm, which no {settings.element.value} has; check element and reference_ohm"
            raise self.error(what, Quality.OUT_OF_RANGE)
        return Reading("temperature", celsius, "Cel", decimals=self._decimals)

    def _code(self, celsius: float, *, limit: int) -> int:
        ohm = platinum.ratio(celsius) * self._settings.element.ohm + self._settings.lead_ohm
        return min(max(round(ohm / self._settings.full_scale_ohm * CODES), 0), limit)

    def _registers(self) -> bytes:
        return self.transfer(bytes((CONFIG, *bytes(REGISTERS))))[1:]

    def _put(self, register: int, data: bytes) -> None:
        self.transfer(bytes((WRITE | register, *data)))


KIND = DriverKind(
    title="Maxim MAX31865: platinum resistance thermometer",
    settings=Max31865Settings,
    build=Max31865,
    families=("spi",),
    quantities=(Quantity("temperature", "Cel", LOW_C, HIGH_C, "±0.5 °C of the chip, with the element's class"),),
)
"""Accuracy: data sheet, Benefits and Features: 0.05 % of full scale."""
