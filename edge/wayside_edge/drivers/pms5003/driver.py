"""The PMS5003 driver: frames with checksums, by themselves or on demand, the laser off in between if wanted.

Source: Plantower, "Digital universal particle concentration sensor, PMS5003 series data manual", version 2.3 (2016):
"Technical Index"; Appendix I "PMS5003 transport protocol - Active Mode"; Appendix II "Passive Mode"; "Circuit
Attentions" (30 seconds after a wake-up until the fan's stream is steady).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from struct import unpack_from
from typing import Final

from wayside_edge.errors import DeviceAbsentError, SensorError
from wayside_edge.hal.uart import receive
from wayside_edge.ports import BusProvider, DriverKind, Quantity, Reading, Steps, Uart
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

BAUD: Final = 9600
START: Final = b"\x42\x4d"
LENGTH: Final = 28
"""What the length field of a measurement says: 13 words and the check code."""
ANSWER: Final = 4
"""What that of the answer to a command says."""
READ: Final = 0xE2
CHANGE_MODE: Final = 0xE1
SLEEP: Final = 0xE4
STABLE_S: Final = 30.0
ACTIVE_S: Final = 3.5
"""Between two frames it leaves 2.3 s at most (Appendix I), which is half as long again."""
PASSIVE_S: Final = 1.5
LONGEST: Final = 64
"""No sensor of the family has a longer frame; what claims one is no frame."""
NAMES: Final = ("pm1_0", "pm2_5", "pm10")
SIZES: Final = ("0_3um", "0_5um", "1_0um", "2_5um", "5_0um", "10um")


class Mode(Enum):
    """Who begins."""

    ACTIVE = "active"
    """The sensor sends by itself; needs no wire to its RX."""
    PASSIVE = "passive"
    """It sends when asked."""


@dataclass(frozen=True, slots=True)
class Pms5003Settings:
    """Settings of a sensor of kind `pms5003`."""

    mode: Mode = setting("active: it sends by itself. passive: it is asked at each read.", Mode.ACTIVE)
    sleep: bool = setting(
        "Switch fan and laser off between reads, for a longer life; a read then takes 31 s, so set deadline_s to 45.",
        False,
    )
    standard: bool = setting("Give the concentrations for standard particles (CF=1) too.", False)
    counts: bool = setting("Give the numbers of particles too.", False)

    def __post_init__(self) -> None:
        if self.sleep and self.mode is not Mode.PASSIVE:
            raise ValueError('sleep = true needs mode = "passive"')


class Pms5003:
    """One PMS5003.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
        clock: seconds.
    """

    def __init__(
        self, settings: Pms5003Settings, bus: str, buses: BusProvider, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._clock = clock
        self._uart: Uart | None = None
        self._awake_s = 0.0
        self._damaged = b""
        self._foreign = b""

    def start(self) -> Steps[None]:
        """See `Driver`. It wakes the sensor and waits for a frame: that is all that tells it from another."""
        self._uart = self._buses.uart(self._name, baud=BAUD)
        self._command(SLEEP, 1)
        yield 0.1
        self._command(CHANGE_MODE, 1 if self._settings.mode is Mode.ACTIVE else 0)
        yield 0.1
        self._awake_s = self._clock()
        yield from self._words()
        yield from self._rest()

    def read(self) -> Steps[Sequence[Reading]]:
        """See `Driver`."""
        if self._uart is None:
            raise SensorError(f"bus {self._name}: the sensor was not started")
        if self._settings.sleep:
            self._command(SLEEP, 1)
            self._awake_s = self._clock()
            yield STABLE_S
        words = yield from self._words()
        unstable = self._clock() - self._awake_s < STABLE_S
        yield from self._rest()
        return self._readings(words, Quality.UNSTABLE if unstable else Quality.GOOD)

    def close(self) -> None:
        """See `Driver`. Closing the port leaves the sensor as it is."""
        self._uart = None

    def _rest(self) -> Steps[None]:
        if self._settings.sleep:
            self._command(SLEEP, 0)
            yield 0.1

    def _words(self) -> Steps[Sequence[int]]:
        """The 13 words of a frame that began after now."""
        uart = self._opened()
        uart.discard()
        self._damaged = self._foreign = b""
        within_s = ACTIVE_S
        if self._settings.mode is Mode.PASSIVE:
            self._command(READ, 0)
            within_s = PASSIVE_S
        words = yield from receive(uart, self._find, within_s)
        if words is None:
            raise self._nothing(within_s)
        return words

    def _find(self, collected: bytearray) -> Sequence[int] | None:
        """The first whole measurement; what lies before it is taken away."""
        while (at := collected.find(START)) >= 0:
            del collected[:at]
            if len(collected) < 4:
                return None
            (length,) = unpack_from(">H", collected, 2)
            if length > LONGEST:
                self._foreign = bytes(collected[:4])
                del collected[:2]
                continue
            if len(collected) < length + 4:
                return None
            frame = bytes(collected[: length + 4])
            if sum(frame[:-2]) & 0xFFFF != int.from_bytes(frame[-2:], "big"):
                self._damaged = frame
                del collected[:2]
                continue
            del collected[: length + 4]
            if length == LENGTH:
                return unpack_from(">13H", frame, 4)
            if length != ANSWER:
                self._foreign = frame
        if collected:
            self._foreign = self._foreign or bytes(collected[:4])
        return None

    def _nothing(self, within_s: float) -> SensorError | DeviceAbsentError:
        where = f"bus {self._name}"
        if self._damaged:
            what = f"the sensor sent a checksum that does not fit ({self._damaged.hex()}); shorten the wires"
            return SensorError(f"{where}: {what}", Quality.CHECKSUM)
        if self._foreign:
            what = f"what comes is no frame of a PMS5003 ({self._foreign[:8].hex()}); check its type"
            return SensorError(f"{where}: {what}", Quality.WRONG_CHIP)
        wires = "its TX to our RX" if self._settings.mode is Mode.ACTIVE else "TX and RX crossed over"
        return DeviceAbsentError(f"{where}: nothing came for {within_s:g} s; check 5 V, SET left open, and {wires}")

    def _readings(self, words: Sequence[int], quality: Quality) -> Sequence[Reading]:
        readings = [
            Reading(name, value, "ug/m3", quality=quality) for name, value in zip(NAMES, words[3:6], strict=True)
        ]
        if self._settings.standard:
            readings += [
                Reading(f"{name}_standard", value, "ug/m3", quality=quality)
                for name, value in zip(NAMES, words[0:3], strict=True)
            ]
        if self._settings.counts:
            readings += [
                Reading(f"particles_{size}", value, "/dL", quality=quality)
                for size, value in zip(SIZES, words[6:12], strict=True)
            ]
        return readings

    def _command(self, command: int, value: int) -> None:
        body = START + bytes((command, 0, value))
        self._opened().write(body + sum(body).to_bytes(2, "big"))

    def _opened(self) -> Uart:
        if self._uart is None:
            raise SensorError(f"bus {self._name}: the sensor was not started")
        return self._uart


KIND = DriverKind(
    title="Plantower PMS5003: particulate matter",
    settings=Pms5003Settings,
    build=Pms5003,
    families=("uart",),
    quantities=(
        Quantity("pm*", "ug/m3", 0.0, 10_000.0, "±10 µg/m³ up to 100, ±10 % up to 500 µg/m³"),
        Quantity("particles_*", "/dL", 0.0, 65535.0, "98 % of those of 0.5 µm and more"),
    ),
)
"""Accuracy: data manual, "Technical Index". It promises 0 to 500 µg/m³ and a maximum of 1000
or more; what is ten times that has no dust to come from."""
