"""An SCD4x: what its bus sees, with the time that its measurements take.

Source: Sensirion, SCD4x data sheet, version 1.3, section 3: commands, times, formulas, and what it takes while it
measures. Pressure with height: the international standard atmosphere, ISO 2533.
"""

import random

from wayside_firmware.board.chip import Fault, Model, Surroundings
from wayside_firmware.board.commands import CommandChip, not_acknowledged, share

PERIODS = {0x21B1: 5.0, 0x21AC: 30.0}
STOP, READY, MEASUREMENT = 0x3F86, 0xE4B8, 0xEC05
WHILE_MEASURING = (STOP, READY, MEASUREMENT, 0xE000)
REGISTERS = {0x241D: "offset", 0x2427: "altitude", 0xE000: "pressure", 0x2416: "automatic"}
GETTERS = {0x2318: "offset", 0x2322: "altitude", 0xE000: "pressure", 0x2313: "automatic"}
EEPROM = {"offset": 1498, "altitude": 0, "pressure": 1013, "automatic": 1}
"""As delivered: 4 °C, 0 m, 1013 hPa, on."""
POWER_DOWN, WAKE_UP, REINITIALISE, SERIAL, VARIANT, CALIBRATE = 0x36E0, 0x36F6, 0x3646, 0x3682, 0x202F, 0x362F
ANSWER_S = 0.0005
SELF_HEATING_C = 4.0


class Scd4xChip(CommandChip):
    """An SCD4x in some air."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._random = random.Random(around.seed)  # noqa: S311
        self._correction = 0.0
        self._period_s: float | None = None
        self.power_cycle()

    def power_cycle(self) -> None:
        """See `CommandChip`: it measures no more, and has the settings of its EEPROM."""
        super().power_cycle()
        self._values = dict(EEPROM)
        self._by_altitude = True
        self._asleep = False
        self._period_s = None
        self._since_s = self._due_s = 0.0
        self._measured_for_s = 0.0

    def write(self, data: bytes) -> None:
        """See `CommandChip`: a chip that measures takes only some commands, one that sleeps only one."""
        command = int.from_bytes(data[:2], "big")
        if self._asleep:
            self._asleep = command != WAKE_UP
            raise not_acknowledged()
        if self._period_s is not None and len(data) >= 2 and command not in WHILE_MEASURING:
            raise not_acknowledged()
        super().write(data)

    def command(self, command: int, arguments: list[int]) -> None:
        """See `CommandChip`."""
        if command in PERIODS:
            self._period_s = self.takes(PERIODS[command])
            self._since_s = self.around.clock()
            self._due_s = self._since_s + self._period_s
        elif command in REGISTERS and arguments:
            self._values[REGISTERS[command]] = arguments[0]
            if command in (0x2427, 0xE000):
                self._by_altitude = command == 0x2427
            self.busy(0.001)
        elif command in GETTERS:
            self.answer(self._values[GETTERS[command]], after_s=ANSWER_S)
        elif command == READY:
            ready = self._period_s is not None and self.around.clock() >= self._due_s
            self.answer(0x8006 if ready else 0x8000, after_s=ANSWER_S)
        elif command == MEASUREMENT:
            self._measurement()
        else:
            self._manage(command, arguments)

    def _manage(self, command: int, arguments: list[int]) -> None:
        if command == STOP:
            self._measured_for_s = self.around.clock() - self._since_s if self._period_s is not None else 0.0
            self._period_s = None
            self.busy(0.45)
        elif command == SERIAL and self.fault is not Fault.WRONG_IDENTITY:
            self.answer(0xF896, 0x31D5, self.around.seed & 0xFFFF, after_s=ANSWER_S)
        elif command == VARIANT:
            self.answer(0x1440, after_s=ANSWER_S)
        elif command == REINITIALISE:
            self.power_cycle()
            self.busy(0.025)
        elif command == POWER_DOWN:
            self._asleep = True
        elif command == CALIBRATE and arguments:
            self._calibrate(arguments[0])

    def _calibrate(self, target: int) -> None:
        if self._measured_for_s < 180.0:
            self.answer(0xFFFF, after_s=0.35)
            return
        step = round(target - self._ppm())
        self._correction += step
        self.answer(0x8000 + step, after_s=0.35)

    def _ppm(self) -> float:
        """What it makes of the air with its settings: it counts molecules, so the pressure matters."""
        assumed = self._values["pressure"] * 100.0
        if self._by_altitude:
            assumed = 101_325.0 * (1.0 - 2.25577e-5 * self._values["altitude"]) ** 5.25588
        true = self.around.signal("co2_ppm") * self.around.state().pascal / assumed
        return true + self._correction + self.around.noise * self._random.gauss(0.0, 3.0)

    def _measurement(self) -> None:
        now_s = self.around.clock()
        if self._period_s is None or now_s < self._due_s:
            return
        self._due_s += ((now_s - self._due_s) // self._period_s + 1) * self._period_s
        state, noise = self.around.state(), self.around.noise
        # Its own warmth is in what it measures; the offset takes away as much as it is told.
        celsius = state.celsius + SELF_HEATING_C - self._values["offset"] * 175.0 / 65535
        raw_t = share(celsius + noise * self._random.gauss(0.0, 0.03), -45.0, 175.0)
        raw_h = share(state.percent + noise * self._random.gauss(0.0, 0.1), 0.0, 100.0)
        co2 = min(max(round(self._ppm()), 0), 40_000)
        if self.fault is Fault.OUT_OF_RANGE:
            co2, raw_t, raw_h = 0, 0xFFFF, 0xFFFF
        self.answer(co2, raw_t, raw_h, after_s=ANSWER_S)


MODEL = Model(Scd4xChip, address=0x62)
