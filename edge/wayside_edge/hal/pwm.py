"""PWM outputs of the kernel.

Source: Linux, Documentation/ABI/testing/sysfs-class-pwm: `export`, `period` and `duty_cycle` in nanoseconds, `enable`.
"""

import errno
import os
from pathlib import Path
from typing import Final

from wayside_edge.errors import BusError, DeviceAbsentError

SYS: Final = Path("/sys")


class PwmOutput:
    """One channel of a PWM controller.

    Args:
        chip: the controller: the device that it is, as `fe20c000.pwm`; None when there is one only.
        channel: its number.
        root: where sysfs is mounted.
    """

    def __init__(self, chip: str | None, channel: int, root: Path = SYS) -> None:
        self._chip = chip
        self._channel = channel
        self._root = root
        self._folder: Path | None = None
        self._period_ns = 0

    def open(self, frequency_hz: float, duty: float) -> None:
        """Take it, and drive it with a share `duty` of the time, 0 to 1.

        Raises:
            DeviceAbsentError: it is not there.
            BusError: it cannot be driven.
        """
        chip = self._find()
        folder = chip / f"pwm{self._channel}"
        if not folder.exists():
            self._write(chip / "export", str(self._channel))
        if not folder.exists():
            raise DeviceAbsentError(f"{self._where}: the controller has no such channel; correct 'channel'")
        self._folder = folder
        self._period_ns = round(1e9 / frequency_hz)
        # The duty time may never exceed the period, whatever both were before.
        self._write(folder / "duty_cycle", "0")
        self._write(folder / "period", str(self._period_ns))
        self.set(duty)
        self._write(folder / "enable", "1")

    def set(self, duty: float) -> None:
        """Change the share of the time; raises BusError."""
        assert self._folder is not None
        self._write(self._folder / "duty_cycle", str(round(self._period_ns * duty)))

    def duty(self) -> float:
        """The share of the time as the kernel has it; raises BusError."""
        assert self._folder is not None
        enabled = self._read(self._folder / "enable")
        period_ns = self._read(self._folder / "period")
        return self._read(self._folder / "duty_cycle") / period_ns if enabled and period_ns else 0.0

    @property
    def _where(self) -> str:
        return f"PWM {self._chip or 'controller'}, channel {self._channel}"

    def _find(self) -> Path:
        there = {(chip / "device").resolve().name: chip for chip in sorted(self._root.glob("class/pwm/pwmchip*"))}
        if self._chip is None and len(there) == 1:
            return next(iter(there.values()))
        if self._chip is None or self._chip not in there:
            listed = ", ".join(there) or "none at all: on a Raspberry Pi add dtoverlay=pwm to config.txt"
            raise DeviceAbsentError(f"{self._where}: not found; say one in 'chip'; there are: {listed}")
        return there[self._chip]

    def _read(self, file: Path) -> int:
        try:
            return int(file.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise BusError(f"{self._where}: {file.name}: {error}") from error

    def _write(self, file: Path, text: str) -> None:
        try:
            file.write_text(text, encoding="ascii")
        except OSError as error:
            reason = {
                errno.EINVAL: "the controller cannot do that: correct 'frequency_hz'",
                errno.EBUSY: "another program has it",
                errno.EACCES: "permission denied: give this user's group the right to it",
                errno.EROFS: "/sys is read-only here: set ProtectKernelTunables=no in the agent's unit",
            }.get(error.errno or 0, os.strerror(error.errno or 0))
            raise BusError(f"{self._where}: {file.name}: {reason}") from error
