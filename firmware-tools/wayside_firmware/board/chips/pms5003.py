"""A Plantower PMS5003 at its frames (PMS5003 series data manual, version 2.3, Appendices I and II)."""

from typing import Final

from wayside_firmware.board.chip import SLOWNESS, Fault, Model, Surroundings

FRAME_S: Final = 2.3
"""Between two frames while concentrations are steady; 0.2 to 0.8 s while they change."""
OTHERS: Final = 16
"""Words in a frame of the model with formaldehyde, temperature and humidity (PMS5003ST)."""


def frame(*words: int) -> bytes:
    """The words as they go over the line."""
    body = b"BM" + (2 * len(words) + 2).to_bytes(2, "big") + b"".join(word.to_bytes(2, "big") for word in words)
    check = 0
    for byte in body:
        check += byte
    return body + bytes((check >> 8 & 0xFF, check & 0xFF))


class Pms5003Chip:
    """A PMS5003. At power-on it sends by itself.

    Args:
        around: what it finds around it; the signal `pm_ug_m3` is PM2.5.
    """

    def __init__(self, around: Surroundings) -> None:
        self.fault = Fault.NONE
        self.around = around
        self.power_cycle()

    def power_cycle(self) -> None:
        """Take its supply away for a moment."""
        self.active, self.asleep = True, False
        self._next_s = self.around.clock() + self.takes(FRAME_S)
        self._answers = b""

    def takes(self, seconds: float) -> float:
        """How long something of that length takes, which is longer for a slow sensor."""
        return seconds * (SLOWNESS if self.fault is Fault.SLOW else 1.0)

    def send(self, data: bytes) -> None:
        """Take commands: seven bytes each, of which the last two are the sum of the others."""
        for at in range(0, len(data) - 6, 7):
            command = data[at : at + 7]
            if command[:2] != b"BM" or command[5] << 8 | command[6] != sum(command[:5]):
                continue
            self._obey(command[2], command[4])

    def receive(self) -> bytes:
        """What it has sent since the last call."""
        now_s = self.around.clock()
        sent, self._answers = self._answers, b""
        while self.active and not self.asleep and self._next_s <= now_s:
            sent += self._measurement()
            self._next_s += self.takes(FRAME_S)
        return sent

    def _obey(self, command: int, value: int) -> None:
        if command == 0xE4:
            self.asleep = value == 0
        elif command == 0xE1:
            self.active = value == 1
        elif command == 0xE2 and not self.active and not self.asleep and self.fault is not Fault.SLOW:
            self._answers += self._measurement()
            return
        self._next_s = self.around.clock() + self.takes(FRAME_S)
        if command == 0xE1:
            self._answers += b"BM\x00\x04\xe1" + bytes((value, 0x01, 0x74 + value))

    def _measurement(self) -> bytes:
        fine = 0xFFFF if self.fault is Fault.OUT_OF_RANGE else max(round(self.around.signal("pm_ug_m3")), 0)
        masses = (round(fine * 0.7), fine, min(round(fine * 1.2), 0xFFFF))
        numbers = tuple(min(round(fine * share), 0xFFFF) for share in (180, 52, 11, 1.1, 0.4, 0.1))
        words = (*masses, *masses, *numbers, 0x9700)
        if self.fault is Fault.WRONG_IDENTITY:
            words = (*words, *[0] * (OTHERS - len(words)))
        return frame(*words)


MODEL = Model(Pms5003Chip, uart=True)
