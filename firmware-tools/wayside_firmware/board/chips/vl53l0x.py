"""A VL53L0X as a program of ST's kind sees it: pages, reset, memory, calibrations and single measurements.

Source: STMicroelectronics, VL53L0X API 1.0.2 (STSW-IMG005), `vl53l0x_device.h` and the functions that wait for the
chip; there is no register map. What it sees is at the signal `distance_mm`.
"""

import random

from wayside_firmware.board.chip import Fault, Model, RegisterChip, Surroundings

PAGE, POWER, SEQUENCE, INTERRUPT_CLEAR, INTERRUPT_STATUS, RESULT = 0xFF, 0x80, 0x01, 0x0B, 0x13, 0x14
STOP_AT, STOP_VARIABLE, SOFT_RESET, MODEL_ID = 0x91, 0x3C, 0xBF, 0xC0
GOOD_SPADS_AT, GOOD_SPADS, SPAD_INFO = 0xB0, bytes((0xFE, 0xFF, 0xF7, 0xFF, 0x0F, 0x00)), 0x85
NVM_S, CALIBRATION_S, BOOT_S = 0.001, 0.005, 0.0012
OVERHEAD_S = 0.0054
"""Of a measurement and its steps: 1.91 ms and 0.96 ms, twice 0.69 ms, 0.66 ms and 0.55 ms, less a bit."""
VALID, SIGNAL_FAIL, TOO_NEAR, NO_RESULT = 11, 4, 10, 0
REACH_MM, NEAR_MM, NOTHING_MM = 2000.0, 20.0, 8190
NOISE_SHARE = 0.01


class Vl53l0xChip(RegisterChip):
    """A VL53L0X on I2C.

    Args:
        around: what it measures, and the clocks.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.status: int | None = None
        """The device's range status of all results, when it is not to follow from the distance."""
        self._random = random.Random(around.seed)  # noqa: S311
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment: all that was set is lost."""
        self.pages = {page: bytearray(256) for page in (0, 1, 6, 7)}
        main = self.pages[0]
        main[SEQUENCE] = 0xFF
        main[0x84] = 0x11
        main[GOOD_SPADS_AT : GOOD_SPADS_AT + 6] = GOOD_SPADS
        main[SOFT_RESET] = 0x01
        main[MODEL_ID : MODEL_ID + 3] = b"\xee\xaa\x10"
        self.pages[1][STOP_AT] = STOP_VARIABLE
        self._page = 0
        self._power = 0
        self._calibrated = 0
        self._given = 0
        self._nvm_s: float | None = None
        self._result: tuple[float, int] | None = None
        self._booted_s = self.around.clock() + self.takes(BOOT_S)

    def read(self, count: int) -> bytes:
        """Give registers of the page from the pointer on."""
        self.advance()
        start, self.pointer = self.pointer, (self.pointer + count) & 0xFF
        shown = self.pages[self._page]
        identity = self.pages[0][MODEL_ID : MODEL_ID + 3]
        if self.fault is Fault.WRONG_IDENTITY:
            identity = bytearray(b"\xea\xcc\x10")
        if not self.pages[0][SOFT_RESET] or self.around.clock() < self._booted_s:
            identity = bytearray(3)
        found = bytearray()
        for register in ((start + offset) & 0xFF for offset in range(count)):
            if self._page == 0 and MODEL_ID <= register < MODEL_ID + 3:
                found.append(identity[register - MODEL_ID])
            elif register == STOP_AT and self._page == 1 and not self._power:
                found.append(0)  # only to be seen with the power forced on
            else:
                found.append(shown[register])
        return bytes(found)

    def set(self, register: int, value: int) -> None:
        """Take a write of one register."""
        if register == PAGE:
            self._page = value if value in self.pages else 0
        elif register == POWER:
            self._power = value
        elif register == SOFT_RESET and self._page == 0:
            self.power_cycle()
            self.pages[0][SOFT_RESET] = value
        elif self._page == 0:
            self._set_main(register, value)
        else:
            self._set_inner(register, value)

    def advance(self) -> None:
        """Let everything happen that was due by now."""
        now_s = self.around.clock()
        if self._nvm_s is not None and now_s >= self._nvm_s:
            self._nvm_s = None
            inner = self.pages[7]
            inner[0x83] = 0x01
            inner[0x92] = SPAD_INFO if inner[0x94] == 0x6B else 0
        if self._result is not None and now_s >= self._result[0]:
            _, steps = self._result
            self._result = None
            self.pages[0][INTERRUPT_STATUS] = 0x04
            if steps in (1, 2):
                self._calibrated |= steps
            else:
                self._measure()

    def _set_main(self, register: int, value: int) -> None:
        main = self.pages[0]
        if MODEL_ID <= register < MODEL_ID + 3 or INTERRUPT_STATUS <= register < RESULT + 12:
            return
        main[register] = value
        if register == INTERRUPT_CLEAR and value & 1:
            main[INTERRUPT_STATUS] = 0
        if register == 0 and value & 1 and not self._power:
            main[0] &= ~1
            steps = main[SEQUENCE]
            takes_s = CALIBRATION_S if steps in (1, 2) else self._measurement_s()
            self._result = (self.around.clock() + self.takes(takes_s), steps)

    def _set_inner(self, register: int, value: int) -> None:
        if (self._page, register) == (1, STOP_AT):
            self._given = value if self._power else 0
            return
        self.pages[self._page][register] = value
        if (self._page, register, value) == (7, 0x83, 0):
            self._nvm_s = self.around.clock() + self.takes(NVM_S)

    def _measurement_s(self) -> float:
        """As the timeouts say: of the steps before with 14 clocks to a laser pulse, of the last with 10."""
        main = self.pages[0]
        early_s, late_s = (2304 * 2 * (main[at] + 1) * 1.655e-9 for at in (0x50, 0x70))
        pre = (main[0x52] << main[0x51]) + 1
        final = (main[0x72] << main[0x71]) + 1 - pre
        return OVERHEAD_S + 2 * (main[0x46] + 1) * early_s + pre * early_s + final * late_s

    def _measure(self) -> None:
        distance = self.around.signal("distance_mm")
        distance *= 1 + self.around.noise * self._random.gauss(0.0, NOISE_SHARE)
        status, shown = VALID, round(distance)
        if distance > REACH_MM:
            status, shown = SIGNAL_FAIL, NOTHING_MM
        elif distance < NEAR_MM:
            status, shown = TOO_NEAR, round(NEAR_MM)
        if self.status is not None:
            status = self.status
        if self._calibrated != 3 or self._given != STOP_VARIABLE or self.pages[0][0x32] != 0x03:
            status = NO_RESULT
        if self.fault is Fault.OUT_OF_RANGE:
            status, shown = VALID, 0xFFFF
        result = bytes((status << 3 | 0x01, 0, 0x05, 0, 0, 0, 0x04, 0, 0, 0x20)) + shown.to_bytes(2, "big")
        self.pages[0][RESULT : RESULT + 12] = result


MODEL = Model(Vl53l0xChip, address=0x29)
